"""``asd-monitor train``: a model from a dataset's normal sound."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import AsJson, Cache, Device, Year

if TYPE_CHECKING:
    from asd_offline.training.distributed import Process
    from asd_offline.training.run import TrainRequest
    from asd_offline.training.run_folder import Run

INTERRUPTED = 130


def train(
    model: Annotated[str, typer.Argument(help="Which model; see docs/models.md.")],
    dataset: Annotated[
        Path, typer.Argument(help="Folder or list of recordings; see docs/datasets.md.")
    ],
    machine: Annotated[
        list[str] | None,
        typer.Option(
            "--machine",
            help="Only this machine; repeat for more. The name, of unsorted recordings.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Recipe; the published values if not given."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=0, help="In place of the recipe's.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same model.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="RUN", help="Folder of the run; runs/MODEL-DATASET-SEED if not given."
        ),
    ] = None,
    init_from: Annotated[
        list[str] | None,
        typer.Option(
            "--init-from",
            metavar="FILE",
            help="Begin with these weights: the authors' file, or a run's checkpoint; repeat for "
            "more, NETWORK=FILE for one network of several. With --epochs 0, as they are.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out where it stopped.")
    ] = False,
    year: Year = None,
    cache: Cache = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a model; Ctrl-C stops it, and the same command with --resume goes on exactly there.

    Only normal clips of the training split are learned from; one in ten is kept out for the
    calibration. For several GPUs: `torchrun --nproc-per-node 4 --no-python asd-monitor train ...`.

    Example: `asd-monitor train autoencoder data/dcase2020 --machine fan --out runs/fan`, then
    `asd-monitor export runs/fan --out fan.pt`
    """
    import json

    from asd_monitor.commands.offline_extra import require_offline

    require_offline("train")
    from asd_offline.training.distributed import joined
    from asd_offline.training.run import TrainRequest

    machines = tuple(machine or ())
    folder = out or _default_folder(model, dataset, machines, seed)
    with joined(device) as process:
        request = TrainRequest(
            model=model,
            dataset=dataset,
            out=folder,
            cache=cache or default_cache(),
            machines=machines,
            year=year,
            recipe=config,
            epochs=epochs,
            seed=seed,
            init_from=tuple(init_from or ()),
            resume=resume,
        )
        run = _trained(request, process)
        if not process.first:
            return
    last = {each["network"]: each for each in run.metrics()}
    if as_json:
        document = {"run": str(run.folder), "model": model, "networks": list(last.values())}
        typer.echo(json.dumps(document))
    else:
        typer.echo(f"{run.folder}: done; now: asd-monitor export {run.folder} --out {model}.pt")


def _trained(request: "TrainRequest", process: "Process") -> "Run":
    """Train; Ctrl-C says what is kept, and ends the program."""
    from asd_offline.training.console import shown
    from asd_offline.training.run import train

    try:
        with shown(quiet=not process.first) as show:
            return train(request, process, show)
    except KeyboardInterrupt:
        kept = f"stopped; what is in {request.out} is kept"
        typer.echo(f"{kept}: the same command with --resume goes on", err=True)
        raise typer.Exit(INTERRUPTED) from None


def default_cache() -> Path:
    """Return the user's folder for features, as the XDG specification says."""
    import os

    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "asd-monitor" / "features"


def _default_folder(model: str, dataset: Path, machines: tuple[str, ...], seed: int) -> Path:
    parts = (model, dataset.resolve().stem or "data", *machines, f"seed{seed}")
    return Path("runs") / "-".join(parts)
