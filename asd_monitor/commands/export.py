"""``asd-monitor export``: a model file from a trained run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson, Cache

if TYPE_CHECKING:
    from asd_offline.export.export import Exported


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `train` made.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Model file to write or replace.")
    ],
    machine: Annotated[
        list[str] | None,
        typer.Option("--machine", help="Only this machine of the run; repeat for more."),
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option("--dataset", help="Where the dataset is now, if it was moved.")
    ] = None,
    score: Annotated[
        str | None,
        typer.Option("--score", help="Of a model with several scores, which; see docs/models.md."),
    ] = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Fit a trained run's statistics, calibrate it on held-out clips, and write the model file.

    Scores of the file are checked against the trained model's; of the forms that the module can
    have, the fastest is kept. The file works in `run`, `score` and `replay`.

    Example: `asd-monitor export runs/fan --out fan.pt`, then
    `asd-monitor score monday.wav --model fan.pt --target fan/id_00`
    """
    import json

    from asd_monitor.commands.offline_extra import require_offline

    require_offline("export")
    _check_place(out)
    from asd_monitor.commands.train import default_cache
    from asd_offline.export.export import export as export_run
    from asd_offline.training.console import shown

    with shown() as show:
        done = export_run(
            run,
            out,
            cache or default_cache(),
            machines=machine or (),
            dataset=dataset,
            score=score,
            features_progress=show.features,
        )
    typer.echo(json.dumps(_document(done)) if as_json else _text(done))


def _check_place(out: Path) -> None:
    """Say before the work what is wrong with where the model file shall be."""
    from asd_monitor.errors import ModelFileError
    from asd_monitor.model_file import read_manifest

    if not out.parent.is_dir():
        raise ModelFileError(f"{out}: cannot be written: there is no folder {out.parent}; make it")
    if not out.exists():
        return
    try:
        read_manifest(out)
    except ModelFileError as error:
        msg = f"{out}: expected a new file or a model file to replace, found something else"
        raise ModelFileError(f"{msg}; remove it, or choose another --out") from error


def _document(done: "Exported") -> dict[str, Any]:
    return {
        "file": str(done.path),
        "sha256": done.sha256,
        "targets": list(done.manifest.targets),
        "window_s": done.manifest.window_samples / done.manifest.sample_rate_hz,
        "parity": done.parity,
        "against_quickstart": done.manifest.description.get("against_quickstart"),
        "form": done.form,
        "milliseconds_per_window": dict(done.milliseconds),
        "thresholds": {name: each.value for name, each in done.manifest.thresholds.items()},
        "calibration_windows": {
            name: each.count for name, each in done.manifest.calibrations.items()
        },
    }


def _text(done: "Exported") -> str:
    manifest = done.manifest
    times = ", ".join(f"{name} {ms:.2f} ms" for name, ms in done.milliseconds.items())
    lines = [
        f"{done.path}: {manifest.name} for {', '.join(manifest.targets[:8])}"
        f"{' ...' if len(manifest.targets) > 8 else ''}",
        f"window {manifest.window_samples / manifest.sample_rate_hz:.4g} s; per window on one "
        f"core: {times}; kept: {done.form}; largest difference to the trained model "
        f"{done.parity:.1g}",
    ]
    provisional = [name for name, each in manifest.calibrations.items() if each.provisional]
    if provisional:
        fewest = min(manifest.calibrations[name].count for name in provisional)
        lines.append(
            f"thresholds of {len(provisional)} of {len(manifest.targets)} targets are provisional: "
            f"as few as {fewest} held-out windows stand behind them"
        )
    if verdict := _verdict(done):
        lines.append(f"{manifest.name} {verdict}")
    return "\n".join(lines)


def _verdict(done: "Exported") -> str:
    """Return how the model did against the quick start, where that was measured."""
    measured = done.manifest.description.get("against_quickstart")
    return str(measured["verdict"]) if isinstance(measured, dict) else ""
