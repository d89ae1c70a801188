"""``asd-monitor compare``: compare several models on one dataset."""

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
    Cluster,
    Device,
    DeviceOption,
    GroundTruth,
    OnlyMachines,
    ShardText,
    Year,
    refuse_cluster_with,
)
from asd_monitor.terminal.progress import console_progress

if TYPE_CHECKING:
    from asd_offline.comparison import CompareSettings, Comparison


def compare(
    context: typer.Context,
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET", help="Folder or list of recordings; see docs/datasets.md."
        ),
    ],
    models: Annotated[
        list[str] | None,
        models_option(
            "Models to compare. By default quickstart, autoencoder, twfr_gmm, modulation_knn and "
            "spectral_adacos, or with `--config` none.",
            "A,B,...|all",
        ),
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Recipe to compare, under the name of its file. Repeatable, also for recipes of "
            "the same model.",
        ),
    ] = None,
    seeds: Annotated[
        int, seeds_option("Number of times that each model is trained, from seed 0.")
    ] = 4,
    recipes: Recipes = None,
    machine: OnlyMachines = None,
    each_machine: Annotated[
        bool,
        typer.Option(
            "--each-machine",
            help="Train and score each machine separately, with a window as long as its clips; by "
            "default the window is as long as the shortest clip of all.",
        ),
    ] = False,
    epochs: Epochs = None,
    out: Annotated[Path | None, out_option("compare")] = None,
    year: Year = None,
    ground_truth: GroundTruth = None,
    cache: Cache = None,
    device: DeviceOption = Device.AUTO,
    jobs: Jobs = None,
    cluster: Cluster = "",
    shard: ShardText = "",
    as_json: AsJson = False,
) -> None:
    """Train, export and replay several models or recipes on one dataset; print one table.

    All models follow the same rule: the recipe unchanged, the last epoch, the default score. Run
    the same command again to resume a stopped comparison; finished runs are not repeated.

    Example: `asd-monitor compare data/dcase2020 --models autoencoder,twfr_gmm --seeds 4`, or
    `asd-monitor compare data/dcase2020 --config wide.yaml --config deep.yaml`
    """
    import json

    from asd_monitor.commands.offline_extra import require_offline

    refuse_cluster_with(context, cluster, shard)
    require_offline("compare")
    from asd_monitor.errors import RunError
    from asd_offline.comparison import compare as compare_models

    settings = make_settings(
        "compare",
        dataset,
        out=out,
        cache=cache,
        models=models,
        config=config,
        machine=machine,
        seeds=seeds,
        year=year,
        ground_truth=ground_truth,
        recipes=recipes,
        epochs=epochs,
        device=device,
        jobs=jobs,
        cluster=cluster,
        each_machine=each_machine,
    )
    if shard:
        _compare_shard(settings, shard)
        return
    with exit_on_interrupt(resume_hint(settings)), console_progress() as progress:
        comparison = compare_models(settings, progress)
    if as_json:
        typer.echo(json.dumps(comparison.to_dict(), allow_nan=False))
    else:
        _print(comparison, settings.out)
    if comparison.failures:
        failures = ", ".join(comparison.failures)
        raise RunError(f"failed: {failures}; run the same command again to retry only these")


def _compare_shard(settings: "CompareSettings", text: str) -> None:
    """Do the runs of one shard and print how many are finished."""
    from asd_monitor.errors import RunError
    from asd_offline.comparison.run import compare_shard
    from asd_offline.jobs.shards import Shard

    shard = Shard.parse(text)
    with exit_on_interrupt(resume_hint(settings)), console_progress() as progress:
        failed, count = compare_shard(settings, shard, progress)
    if failed:
        raise RunError(f"failed: {', '.join(failed)}; run the same command again to retry these")
    typer.echo(
        f"shard {shard}: {count} runs finished; when all shards are finished, run the same command "
        "without --shard for the table"
    )


def _print(comparison: "Comparison", folder: Path) -> None:
    from asd_monitor.terminal.tables import stdout_console
    from asd_offline.comparison.console import make_tables, notes

    console = stdout_console(markup=True)
    for table in make_tables(comparison, console.width):
        console.print(table)
        console.print()
    for text in notes(comparison):
        console.print(text, markup=False)
    wrote = f"wrote {folder}: report.html, table.md, result.json and .csv"
    console.print(wrote, markup=False, soft_wrap=True)
