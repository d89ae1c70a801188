"""``asd-monitor replay``: a dataset through the live monitor's path, and what came out."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import AsJson, Channel, GroundTruth, OnlyMachines, names
from asd_monitor.errors import ConfigError

if TYPE_CHECKING:
    from asd_offline.datasets import Subset
    from asd_offline.replay import ReplayResult


class Device(StrEnum):
    """Where a model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Decide(StrEnum):
    """Which threshold decides."""

    MODEL = "model"
    GAMMA = "gamma"


def replay(
    dataset: Annotated[
        Path,
        typer.Argument(
            help="Folder of a DCASE Task 2 year, a folder with normal/ and anomaly/, recordings "
            "that commissioning kept, or a CSV of path,label."
        ),
    ],
    year: Annotated[
        int | None, typer.Option("--year", help="Year of the layout; detected by default.")
    ] = None,
    machine: OnlyMachines = None,
    set_: Annotated[
        str, typer.Option("--set", help="dev or eval, where both are there; all by default.")
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="FILE|RUN|quickstart",
            help="A model file; the folder that `train` made, which is exported first; or "
            "quickstart: a detector for each machine id or section, from its own training clips.",
        ),
    ] = "quickstart",
    ground_truth: GroundTruth = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Write the report, score files, JSON and fitted models to this folder."
        ),
    ] = None,
    channel: Channel = 0,
    device: Annotated[Device, typer.Option(help="Where the model runs.")] = Device.AUTO,
    decide: Annotated[
        Decide,
        typer.Option(
            help="Threshold of the decisions: the model's own, as in the live monitor, or the "
            "gamma rule of the DCASE baselines."
        ),
    ] = Decide.MODEL,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Processes; all cores by default.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A file that cannot be used is an error (exit code 5).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Replay a dataset exactly as the live monitor would hear it; print AUC and pAUC.

    A replay that was stopped goes on where it was when the same command is given again.

    Example: `asd-monitor replay data/dcase2020 --machine fan --out results`
    """
    import json
    import shlex
    import sys
    from dataclasses import replace

    from asd_monitor.commands.offline_extra import require_offline

    is_run = (Path(model) / "run.json").is_file()
    if is_run:
        require_offline("replay of a training run")
    else:
        require_offline("replay", ["scipy"])
    from asd_monitor.terminal.progress import console_progress
    from asd_offline.replay import ReplaySettings
    from asd_offline.replay import replay as run
    from asd_offline.report import write_report

    settings = ReplaySettings(
        dataset=dataset,
        year=year,
        machines=names(machine),
        subset=_subset(set_),
        model=_export(Path(model)) if is_run else model,
        ground_truth=ground_truth,
        out=out,
        channel=channel,
        device=device,
        decide="gamma" if decide is Decide.GAMMA else "model",
        strict=strict,
        command=shlex.join(["asd-monitor", *sys.argv[1:]]),
    )
    if jobs is not None:
        settings = replace(settings, jobs=jobs)
    with console_progress() as progress:
        try:
            result = run(settings, progress, write_report)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps(result.to_dict(), allow_nan=False))
    else:
        _show(result, out)


def _export(run: Path) -> str:
    """Return the model file of a training run; export it first if that has not been done."""
    from asd_monitor.commands.train import default_cache
    from asd_offline.export.cached_export import exported_run
    from asd_offline.training.console import shown

    with shown() as show:
        path, now = exported_run(run, default_cache(), show.features)
    typer.echo(f"{run}: {'exported to' if now else 'already exported to'} {path}", err=True)
    return str(path)


def _subset(name: str) -> "Subset":
    choices: dict[str, Subset] = {"": "", "dev": "dev", "eval": "eval"}
    if name not in choices:
        raise ConfigError(f"--set: expected dev or eval, got {name!r}")
    return choices[name]


def _show(result: "ReplayResult", out: Path | None) -> None:
    from rich.console import Console

    from asd_offline.replay.console import summary

    console = Console(highlight=False)
    for part in summary(result):
        console.print(part, soft_wrap=isinstance(part, str), markup=False)
    if out is not None:
        console.print(f"written to {out}: report.html, result.json and more", markup=False)
