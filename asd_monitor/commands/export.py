"""``asd-monitor export``: write the model file of a training run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson, Cache, MovedDataset, default_cache
from asd_monitor.errors import ConfigError
from asd_monitor.terminal.escape import in_lines
from asd_monitor.terminal.progress import console_progress

if TYPE_CHECKING:
    from asd_offline.export.export import Exported

MAX_LISTED_TARGETS = 8


def export(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder of a run of `train`; with `--triton` also a model file."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Model file to write; an existing one is replaced."
        ),
    ] = None,
    machine: Annotated[
        list[str] | None,
        typer.Option(
            "--machine", metavar="NAME", help="Export only this machine of the run. Repeatable."
        ),
    ] = None,
    dataset: MovedDataset = None,
    score: Annotated[
        str | None,
        typer.Option(
            "--score",
            metavar="NAME",
            help="Score to export, if the model has several; see docs/models.md. By default the "
            "recipe's.",
        ),
    ] = None,
    triton: Annotated[
        Path | None,
        typer.Option(
            "--triton",
            metavar="FOLDER",
            help="Also write a model repository of NVIDIA Triton: an ONNX model for each target.",
        ),
    ] = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Write the model file of a training run: fit its detector, calibrate it, and verify it.

    The detector is calibrated on the held-out clips, and the scores of the file are compared with
    those of the trained model. Of several equivalent forms of the program, the fastest is kept.
    `run`, `score` and `replay` accept the file. A model file is exported to Triton only.

    Example: `asd-monitor export runs/fan --out fan.asd`, then
    `asd-monitor score monday.wav --model fan.asd --target fan/id_00`
    """
    import json

    from asd_monitor.commands.offline_extra import require_offline

    if run.is_file():
        if triton is None or out is not None:
            msg = f"{run}: expected the folder of a run, or --triton FOLDER without --out"
            raise ConfigError(f"{msg} for a model file, found a file")
        _write_repository(run, triton, as_json=as_json)
        return
    if out is None:
        raise ConfigError("export: expected --out FILE for the model file of a run, found none")
    require_offline("export")
    _check_output_path(out)
    from asd_offline.export.export import export as export_run

    with console_progress() as progress:
        exported = export_run(
            run,
            out,
            cache or default_cache(),
            machines=machine or (),
            dataset=dataset,
            score=score,
            progress=progress,
        )
    typer.echo(json.dumps(_to_dict(exported)) if as_json else in_lines(_format(exported)))
    if triton is not None:
        _write_repository(out, triton, as_json=False, quiet=as_json)


def _write_repository(model: Path, folder: Path, *, as_json: bool, quiet: bool = False) -> None:
    """Write the Triton models of a model file, and print their names."""
    import json

    from asd_monitor.model_file import LoadPolicy
    from asd_offline.export.triton import write_repository

    written = write_repository(model, folder, LoadPolicy.of_user())
    if as_json:
        document = {
            "repository": str(folder),
            "models": {each.name: each.target for each in written},
        }
        typer.echo(json.dumps(document))
    elif not quiet:
        names = ", ".join(each.name for each in written)
        typer.echo(in_lines(f"{folder}: {len(written)} models for Triton: {names}"))


def _check_output_path(out: Path) -> None:
    """Raise ModelFileError before any work if the model file could not be written."""
    from asd_monitor.errors import ModelFileError
    from asd_monitor.model_file import read_manifest

    if not out.parent.is_dir():
        msg = f"{out}: cannot be written: there is no folder {out.parent}; create it"
        raise ModelFileError(msg)
    if not out.exists():
        return
    try:
        read_manifest(out)
    except ModelFileError as error:
        msg = f"{out}: expected a new file or a model file to replace, found something else"
        raise ModelFileError(f"{msg}; remove it, or choose another --out") from error


def _to_dict(exported: "Exported") -> dict[str, Any]:
    manifest = exported.manifest
    return {
        "file": str(exported.path),
        "sha256": exported.sha256,
        "targets": list(manifest.targets),
        "window_s": manifest.window_samples / manifest.sample_rate_hz,
        "parity": exported.parity,
        "against_quickstart": manifest.description.get("against_quickstart"),
        "form": exported.form,
        "milliseconds_per_window": dict(exported.milliseconds),
        "thresholds": {name: threshold.value for name, threshold in manifest.thresholds.items()},
        "calibration_windows": {
            name: calibration.count for name, calibration in manifest.calibrations.items()
        },
    }


def _format(exported: "Exported") -> str:
    manifest = exported.manifest
    times = ", ".join(f"{name} {ms:.2f} ms" for name, ms in exported.milliseconds.items())
    more = " ..." if len(manifest.targets) > MAX_LISTED_TARGETS else ""
    lines = [
        f"{exported.path}: {manifest.name} for "
        f"{', '.join(manifest.targets[:MAX_LISTED_TARGETS])}{more}",
        f"window {manifest.window_samples / manifest.sample_rate_hz:.4g} s; time per window on one "
        f"core: {times}; kept: {exported.form}; largest difference from the trained model "
        f"{exported.parity:.1g}",
    ]
    provisional = [item for item in manifest.calibrations.values() if item.provisional]
    if provisional:
        count = min(calibration.count for calibration in provisional)
        lines.append(
            f"thresholds of {len(provisional)} of {len(manifest.targets)} targets are provisional: "
            f"calibrated on as few as {count} held-out windows"
        )
    comparison = manifest.description.get("against_quickstart")
    if isinstance(comparison, dict):
        lines.append(f"{manifest.name} {comparison['verdict']}")
    return "\n".join(lines)
