"""``asd-monitor tune``: choose a recipe from normal recordings alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.comparison_options import (
    Epochs,
    Jobs,
    Recipes,
    make_settings,
    models_option,
    out_option,
    resume_hint,
    seeds_option,
)
from asd_monitor.commands.interrupt import exit_on_interrupt
from asd_monitor.commands.options import (
    AsJson,
    Cache,
    Device,
    DeviceOption,
    OnlyMachines,
    Year,
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
        models_option(
            "Models to try. By default those that fit the number of recordings and sections."
        ),
    ] = None,
    recipes: Recipes = None,
    folds: Annotated[
        int,
        typer.Option("--folds", metavar="N", min=2, max=20, help="Parts of the cross-validation."),
    ] = 3,
    seeds: Annotated[int, seeds_option("Trainings of a model on each fold.")] = 1,
    epochs: Epochs = None,
    machine: OnlyMachines = None,
    year: Year = None,
    out: Annotated[Path | None, out_option("tune")] = None,
    cache: Cache = None,
    device: DeviceOption = Device.AUTO,
    jobs: Jobs = None,
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

    from asd_monitor.commands.offline_extra import require_offline

    require_offline("tune")
    from asd_offline.tuning.run import TuneSettings
    from asd_offline.tuning.run import tune as tune_recipes

    settings = make_settings(
        "tune",
        dataset,
        out=out,
        cache=cache,
        models=models,
        machine=machine,
        seeds=seeds,
        year=year,
        recipes=recipes,
        epochs=epochs,
        device=device,
        jobs=jobs,
    )
    with exit_on_interrupt(resume_hint(settings)), console_progress() as progress:
        tuned = tune_recipes(TuneSettings(settings, folds), progress)
    if as_json:
        typer.echo(json.dumps(tuned.to_dict(), allow_nan=False))
    else:
        _print(tuned, settings.out)


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
    for text in (f"\nChosen: {tuned.chosen.model}, which {tuned.reason}.",
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
