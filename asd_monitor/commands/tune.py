"""``asd-monitor tune``: choose a recipe from normal recordings alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.interrupt import exit_on_interrupt
from asd_monitor.commands.options import (
    AsJson,
    Cache,
    Device,
    DeviceOption,
    OnlyMachines,
    Year,
    default_cache,
    split_names,
)
from asd_monitor.terminal.progress import console_progress

if TYPE_CHECKING:
    from asd_offline.tuning.run import Tuned


def tune(
    dataset: Annotated[
        Path,
        typer.Argument(metavar="DATASET", help="Folder or list of recordings."),
    ],
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            metavar="A,B,...",
            help="Models to try. By default those that fit the number of recordings and sections.",
        ),
    ] = None,
    recipes: Annotated[
        Path | None,
        typer.Option(
            "--recipes",
            metavar="DIR",
            help="Folder with a recipe MODEL.yaml per model; a model without one uses the "
            "published values.",
        ),
    ] = None,
    folds: Annotated[
        int,
        typer.Option("--folds", metavar="N", min=2, max=20, help="Parts of the cross-validation."),
    ] = 3,
    seeds: Annotated[
        int,
        typer.Option("--seeds", metavar="N", min=1, help="Trainings of a model on each fold."),
    ] = 1,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", metavar="N", min=1, help="Number of epochs; overrides every recipe."
        ),
    ] = None,
    machine: OnlyMachines = None,
    year: Year = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FOLDER", help="Folder for all output. By default `runs/tune-DATASET`."
        ),
    ] = None,
    cache: Cache = None,
    device: DeviceOption = Device.AUTO,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", min=1, help="Simultaneous runs.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try the recipes that fit the data, without labels; say which to take and why; write it.

    The normal recordings are divided into parts. Each part in turn is left out of the training and
    used as normal test sound, and again with simulated faults added. Test recordings and their
    labels are not opened. Run the same command again to resume.

    Example: `asd-monitor tune data/pumps`, then `asd-monitor train MODEL data/pumps --config
    runs/tune-pumps/recipe.yaml`
    """
    import json
    import shlex
    import sys

    from asd_monitor.commands.offline_extra import require_offline

    require_offline("tune")
    from asd_offline.comparison import CompareSettings
    from asd_offline.tuning.run import TuneSettings
    from asd_offline.tuning.run import tune as tune_recipes

    folder = out or Path("runs") / f"tune-{dataset.resolve().stem or 'data'}"
    settings = CompareSettings(
        dataset=dataset,
        out=folder,
        cache=cache or default_cache(),
        models=split_names(models),
        seeds=seeds,
        machines=split_names(machine),
        year=year,
        recipes=recipes,
        epochs=epochs,
        device=device,
        jobs=jobs,
        command=shlex.join(["asd-monitor", *sys.argv[1:]]),
    )
    hint = f"{folder} is kept: run the same command again to resume"
    with exit_on_interrupt(hint), console_progress() as progress:
        tuned = tune_recipes(TuneSettings(settings, folds), progress)
    if as_json:
        typer.echo(json.dumps(tuned.to_dict(), allow_nan=False))
    else:
        _print(tuned, folder)


def _print(tuned: "Tuned", folder: Path) -> None:
    from rich.table import Table

    from asd_monitor.terminal.tables import stdout_console

    console = stdout_console(markup=False)
    table = Table("model", "mean AUC", "behind the best", "by fold", box=None, pad_edge=False)
    for each in tuned.rated:
        behind = f"{each.behind:.3f} ±{each.standard_error:.3f}" if each.behind else ""
        folds = " ".join(f"{auc:.3f}" for auc in each.aucs)
        table.add_row(each.model, f"{each.mean:.3f}", behind, folds)
    console.print(table)
    for text in (f"\nChosen: {tuned.chosen.model}. {tuned.reason[:1].upper()}{tuned.reason[1:]}.",
                 *(f"Left out: {text}." for text in tuned.left_out)):  # fmt: skip
        console.print(text, soft_wrap=False)
    console.print(
        "AUC of simulated faults in recordings that were left out of the training; "
        "±: standard error of the difference. Real faults may differ."
    )
    if tuned.recipe is None:
        console.print("It has no recipe: `asd-monitor learn --wav FOLDER` fits it.")
    else:
        console.print(f"Wrote {folder / 'recipe.yaml'}; train it with `asd-monitor train`.")
