"""``asd-monitor train``: train a model on a dataset."""

from pathlib import Path
from typing import Annotated

import typer

from asd_monitor.commands.interrupt import exit_on_interrupt
from asd_monitor.commands.options import (
    AsJson,
    Cache,
    Cluster,
    Device,
    DeviceOption,
    ShardText,
    Year,
    default_cache,
    refuse_cluster_with,
    refuse_given,
)
from asd_monitor.terminal.escape import in_lines
from asd_monitor.terminal.progress import console_progress
from asd_monitor.unicode_names import to_nfc


def train(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name of the model; see docs/models.md.")
    ],
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET", help="Folder or list of recordings; see docs/datasets.md."
        ),
    ],
    machine: Annotated[
        list[str] | None,
        typer.Option(
            "--machine",
            metavar="NAME",
            help="Train only this machine. Repeatable. For an unsorted folder: the machine's name.",
        ),
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Recipe of the training (YAML). By default the published values. Repeatable: "
            "each recipe is a run.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", metavar="N", min=0, help="Number of epochs; overrides the recipe."
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", min=0, help="Seed of all random numbers: same seed, same model."
        ),
    ] = 0,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            metavar="N",
            min=1,
            help="Train with N seeds from `--seed`, each in a folder of its own in `--out`.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="RUN",
            help="Folder of the training run. By default `runs/MODEL-DATASET-SEED`.",
        ),
    ] = None,
    init_from: Annotated[
        list[str] | None,
        typer.Option(
            "--init-from",
            metavar="FILE",
            help="Initial weights: the authors' published file, or a checkpoint of a run. "
            "Repeatable; NETWORK=FILE for one network of several. With `--epochs 0` the weights "
            "are used unchanged.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the run in `--out` where it stopped.")
    ] = False,
    year: Year = None,
    cache: Cache = None,
    device: DeviceOption = Device.AUTO,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            metavar="N",
            min=1,
            help="Number of simultaneous runs, if there are several. By default one per core, or "
            "1 on a GPU.",
        ),
    ] = None,
    cluster: Cluster = "",
    shard: ShardText = "",
    as_json: AsJson = False,
) -> None:
    """Train a model on the normal clips of a dataset.

    One in ten training clips is held out for the calibration. Ctrl-C stops the training, and the
    same command with `--resume` continues it with identical results. To use several GPUs, start
    it with `torchrun --nproc-per-node 4 --no-python`. With `--seeds`, or several recipes, the runs
    are independent jobs; run the same command again to resume them.

    Example: `asd-monitor train autoencoder data/dcase2020 --machine fan --out runs/fan`, then
    `asd-monitor export runs/fan --out fan.asd`
    """
    import json

    from asd_monitor.commands.offline_extra import require_offline

    refuse_cluster_with(context, cluster, shard)
    require_offline("train")
    from asd_monitor.commands.train_sweep import train_sweep
    from asd_offline.training.distributed import join_process_group
    from asd_offline.training.run import TrainRequest
    from asd_offline.training.run import train as train_networks

    machines = tuple(map(to_nfc, machine or ()))
    folder = out or _default_folder(model, dataset, machines, seed)
    recipes = tuple(config or ())
    if seeds is not None or len(recipes) > 1:
        refuse_given(
            context, ("resume",), "not needed with several runs, which resume by themselves"
        )
        template = TrainRequest(
            model=model,
            dataset=dataset,
            out=folder,
            cache=cache or default_cache(),
            machines=machines,
            year=year,
            epochs=epochs,
            seed=seed,
            init_from=tuple(init_from or ()),
        )
        train_sweep(template, recipes, seeds or 1, device, jobs, cluster, shard, as_json=as_json)
        return
    refuse_given(context, ("jobs", "cluster", "shard"), "needs several runs: give --seeds N")
    hint = f"{folder} is kept: run the same command with --resume to continue"
    with join_process_group(device) as process:
        request = TrainRequest(
            model=model,
            dataset=dataset,
            out=folder,
            cache=cache or default_cache(),
            machines=machines,
            year=year,
            recipe=recipes[0] if recipes else None,
            epochs=epochs,
            seed=seed,
            init_from=tuple(init_from or ()),
            resume=resume,
        )
        quiet = not process.is_first
        with exit_on_interrupt(hint), console_progress(quiet=quiet) as progress:
            run = train_networks(request, process, progress)
        if not process.is_first:
            return
    if as_json:
        last = {row["network"]: row for row in run.metrics()}
        document = {"run": str(run.folder), "model": model, "networks": list(last.values())}
        typer.echo(json.dumps(document))
    else:
        text = f"{run.folder}: done; next: asd-monitor export {run.folder} --out {model}.asd"
        typer.echo(in_lines(text))


def _default_folder(model: str, dataset: Path, machines: tuple[str, ...], seed: int) -> Path:
    parts = (model, dataset.resolve().stem or "data", *machines, f"seed{seed}")
    return Path("runs") / "-".join(parts)
