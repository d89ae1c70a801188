"""``asd-monitor compare``: several models on one dataset, by the same rule."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import (
    AsJson,
    Cache,
    Device,
    GroundTruth,
    OnlyMachines,
    Year,
    names,
)

if TYPE_CHECKING:
    from asd_offline.comparison import CompareSettings, Comparison

INTERRUPTED = 130
UNLIMITED = 10_000
"""Columns of a file or a pipe."""


def compare(
    dataset: Annotated[
        Path, typer.Argument(help="Folder or list of recordings; see docs/datasets.md.")
    ],
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            metavar="A,B,...|all",
            help="Which models, quickstart among them; by default quickstart, autoencoder, "
            "twfr_gmm, modulation_neighbours and spectral_adacos.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Train each model so many times, from seed 0.")
    ] = 4,
    recipes: Annotated[
        Path | None,
        typer.Option(
            "--recipes",
            metavar="DIR",
            help="Folder with a MODEL.yaml for each model; published values where there is none.",
        ),
    ] = None,
    machine: OnlyMachines = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="In place of every recipe's.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for everything; runs/compare-DATASET if not given."),
    ] = None,
    year: Year = None,
    ground_truth: GroundTruth = None,
    cache: Cache = None,
    device: Device = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", min=1, help="Runs at a time; as many as cores and memory allow, 1 on a GPU."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train, export and replay several models on one dataset; print one table.

    Every model by the same rule: the recipe as it is, the last epoch, the default score. The same
    command goes on where it was stopped, and repeats nothing that is there.

    Example: `asd-monitor compare data/dcase2020 --models autoencoder,twfr_gmm --seeds 4`
    """
    import json
    import shlex
    import sys

    from asd_monitor.commands.offline_extra import require_offline

    require_offline("compare")
    from asd_monitor.commands.train import default_cache
    from asd_offline.comparison import CompareSettings

    folder = out or Path("runs") / f"compare-{dataset.resolve().stem or 'data'}"
    settings = CompareSettings(
        dataset=dataset,
        out=folder,
        cache=cache or default_cache(),
        models=names(models),
        seeds=seeds,
        machines=names(machine),
        year=year,
        ground_truth=ground_truth,
        recipes=recipes,
        epochs=epochs,
        device=device,
        jobs=jobs,
        command=shlex.join(["asd-monitor", *sys.argv[1:]]),
    )
    comparison = _compared(settings)
    if as_json:
        typer.echo(json.dumps(comparison.to_json(), allow_nan=False))
    else:
        _show(comparison, folder)
    _refuse_failures(comparison)


def _compared(settings: "CompareSettings") -> "Comparison":
    """Compare; Ctrl-C says what is kept, and ends the program."""
    from asd_offline.comparison import compare as run
    from asd_offline.comparison.progress import shown

    with shown() as show:
        try:
            return run(settings, show)
        except KeyboardInterrupt:
            kept = f"stopped; what is in {settings.out} is kept: the same command goes on from here"
            typer.echo(kept, err=True)
            raise typer.Exit(INTERRUPTED) from None


def _refuse_failures(comparison: "Comparison") -> None:
    from asd_monitor.errors import RunError

    if comparison.failures:
        failed = ", ".join(comparison.failures)
        raise RunError(f"failed: {failed}; the same command tries again what failed, and only that")


def _show(comparison: "Comparison", folder: Path) -> None:
    from rich.console import Console

    from asd_offline.comparison.console import tables, words

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=UNLIMITED)
    for table in tables(comparison, console.width):
        console.print(table)
        console.print()
    for text in words(comparison):
        console.print(text, markup=False)
    console.print(f"written to {folder}: report.html, table.md, result.json and .csv", markup=False)
