"""Options and settings that ``compare`` and ``tune`` share."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, Unpack

import typer
from typer.models import OptionInfo

from asd_monitor.commands.options import Device, default_cache, split_names

if TYPE_CHECKING:
    from asd_offline.comparison import CompareSettings

Recipes = Annotated[
    Path | None,
    typer.Option(
        "--recipes",
        metavar="DIR",
        help="Folder with a recipe MODEL.yaml per model; a model without one uses the published "
        "values.",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", metavar="N", min=1, help="Number of epochs; overrides every recipe."),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        min=1,
        help="Number of simultaneous runs. By default as many as cores and memory allow, or 1 on a "
        "GPU.",
    ),
]


class RunSettings(TypedDict, total=False):
    """Fields of :class:`~asd_offline.comparison.CompareSettings` that are passed as given."""

    seeds: int
    year: int | None
    ground_truth: Path | None
    recipes: Path | None
    epochs: int | None
    device: Device
    jobs: int | None
    cluster: str
    each_machine: bool


def models_option(help_text: str, metavar: str = "A,B,...") -> OptionInfo:
    """Return the option ``--models`` with the defaults of a command."""
    option: OptionInfo = typer.Option("--models", metavar=metavar, help=help_text)
    return option


def seeds_option(help_text: str) -> OptionInfo:
    """Return the option ``--seeds`` with its meaning in a command."""
    option: OptionInfo = typer.Option("--seeds", metavar="N", min=1, help=help_text)
    return option


def out_option(command: str) -> OptionInfo:
    """Return the option ``--out`` of a command."""
    text = f"Folder for all output. By default `runs/{command}-DATASET`."
    option: OptionInfo = typer.Option("--out", metavar="FOLDER", help=text)
    return option


def make_settings(
    command: str,
    dataset: Path,
    *,
    out: Path | None,
    cache: Path | None,
    models: list[str] | None,
    machine: list[str] | None,
    config: list[Path] | None = None,
    **settings: Unpack[RunSettings],
) -> "CompareSettings":
    """Return the settings of a comparison.

    Parameters
    ----------
    command
        Name of the command, of which the default output folder is named.
    dataset, out, cache, models, machine, config
        As given on the command line.
    settings
        Further fields, passed as given.
    """
    from asd_offline.comparison import CompareSettings

    return CompareSettings(
        dataset=dataset,
        out=out or Path("runs") / f"{command}-{dataset.resolve().stem or 'data'}",
        cache=cache or default_cache(),
        models=split_names(models),
        configs=tuple(config or ()),
        machines=split_names(machine),
        command=shlex.join(["asd-monitor", *sys.argv[1:]]),
        **settings,
    )


def resume_hint(settings: "CompareSettings") -> str:
    """Return what to do after an interruption."""
    return f"{settings.out} is kept: run the same command again to resume"
