"""``asd-monitor replay``: score a dataset as the live monitor would."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.interrupt import exit_on_interrupt
from asd_monitor.commands.options import (
    AsJson,
    Channel,
    Cluster,
    Device,
    DeviceOption,
    GroundTruth,
    OnlyMachines,
    ShardText,
    TrustedKeys,
    Year,
    default_cache,
    refuse_cluster_with,
    refuse_given,
    split_names,
)
from asd_monitor.errors import ConfigError
from asd_monitor.terminal.escape import on_one_line
from asd_monitor.terminal.progress import console_progress

if TYPE_CHECKING:
    from asd_offline.datasets import Subset
    from asd_offline.replay import ReplayResult, ReplaySettings


RESUME_HINT = "run the same command again to resume"


class DecisionThreshold(StrEnum):
    """Which threshold decides."""

    MODEL = "model"
    GAMMA = "gamma"


LABELLED_ONLY = ("year", "set_", "ground_truth", "decide", "strict", "shard")
"""Parameters that have no effect with --timeline."""


def replay(
    context: typer.Context,
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Folder of a DCASE Task 2 dataset, a folder with normal/ and anomaly/, the "
            "recordings of `learn`, or a CSV file with the columns path and label. With "
            "`--timeline`: a folder with train/ and streams/.",
        ),
    ],
    year: Year = None,
    machine: OnlyMachines = None,
    set_: Annotated[
        str,
        typer.Option(
            "--set",
            metavar="dev|eval",
            help="Score only this set. By default all that are present.",
            show_default=False,
        ),
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="FILE|RUN|quickstart",
            help="A model file; the folder of a training run, which is exported first; or "
            "`quickstart`: a detector for each machine id or section, fitted to its own training "
            "clips.",
        ),
    ] = "quickstart",
    trusted_key: TrustedKeys = None,
    ground_truth: GroundTruth = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Folder for the report, the score files, JSON and fitted models.",
        ),
    ] = None,
    channel: Channel = 0,
    device: DeviceOption = Device.AUTO,
    decide: Annotated[
        DecisionThreshold,
        typer.Option(
            "--decide",
            help="Threshold of the decisions: the model's own, as in the live monitor, or the "
            "gamma rule of the DCASE baselines.",
        ),
    ] = DecisionThreshold.MODEL,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", metavar="N", min=1, help="Number of processes. By default one per core."
        ),
    ] = None,
    cluster: Cluster = "",
    shard: ShardText = "",
    strict: Annotated[
        bool,
        typer.Option("--strict", help="End with an error (exit code 5) if a file cannot be used."),
    ] = False,
    timeline: Annotated[
        bool,
        typer.Option(
            "--timeline",
            help="Learn train/*.wav, play each streams/NAME.wav as one stream, and compare its "
            "alarms with NAME.csv (start_s,end_s,label): false alarms, detections and delays.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score a dataset exactly as the live monitor would; print AUC and pAUC.

    Run the same command again to resume a stopped replay.

    Example: `asd-monitor replay data/dcase2020 --machine fan --out results`, or
    `asd-monitor replay data/pump --timeline --out results`
    """
    import json
    import shlex
    import sys
    from dataclasses import replace

    from asd_monitor.commands.offline_extra import require_offline

    refuse_cluster_with(context, cluster, shard)
    if (Path(model) / "run.json").is_file():
        require_offline("replay of a training run")
    else:
        # scipy: gamma thresholds and confidence limits; the others: pictures of the report
        require_offline("replay", ["scipy"] if timeline else ["PIL", "matplotlib", "scipy"])
    if timeline:
        refuse_given(context, LABELLED_ONLY, "has no effect with --timeline")
        from asd_monitor.commands.replay_timeline import replay_timeline

        replay_timeline(
            dataset,
            machines=split_names(machine),
            model=_resolve_model(model),
            trusted_keys=tuple(trusted_key or ()),
            out=out,
            channel=channel,
            device=device,
            jobs=jobs,
            cluster=cluster,
            as_json=as_json,
        )
        return
    from asd_offline.replay import ReplaySettings
    from asd_offline.replay import replay as replay_dataset
    from asd_offline.report import write_report

    settings = ReplaySettings(
        dataset=dataset,
        year=year,
        machines=split_names(machine),
        subset=_parse_subset(set_),
        model=_resolve_model(model),
        trusted_keys=tuple(trusted_key or ()),
        ground_truth=ground_truth,
        out=out,
        channel=channel,
        device=device,
        decide="gamma" if decide is DecisionThreshold.GAMMA else "model",
        strict=strict,
        command=shlex.join(["asd-monitor", *sys.argv[1:]]),
        cluster=cluster,
    )
    if jobs is not None:
        settings = replace(settings, jobs=jobs)
    if shard:
        _replay_shard(settings, shard)
        return
    with exit_on_interrupt(RESUME_HINT), console_progress() as progress:
        result = replay_dataset(settings, progress, write_report)
    if as_json:
        typer.echo(json.dumps(result.to_dict(), allow_nan=False))
    else:
        _print(result, out)


def _replay_shard(settings: "ReplaySettings", text: str) -> None:
    """Run one shard of the jobs and print what is finished."""
    from asd_offline.jobs.shards import Shard
    from asd_offline.replay.sharding import replay_shard

    shard = Shard.parse(text)
    with exit_on_interrupt(RESUME_HINT), console_progress() as progress:
        done, total = replay_shard(settings, shard, progress)
    typer.echo(
        f"shard {shard}: {done} of {total} blocks of clips scored; when all shards are finished, "
        "run the same command without --shard for the result"
    )


def _resolve_model(model: str) -> str:
    """Return the model file of a training run, or else the option's value."""
    return _export(Path(model)) if (Path(model) / "run.json").is_file() else model


def _export(run: Path) -> str:
    """Return the model file of a training run; export it first if that has not been done."""
    from asd_offline.export.cached_export import ensure_exported

    with exit_on_interrupt(RESUME_HINT), console_progress() as progress:
        path, now = ensure_exported(run, default_cache(), progress)
    text = f"{run}: {'exported to' if now else 'already exported to'} {path}"
    typer.echo(on_one_line(text), err=True)
    return str(path)


def _parse_subset(name: str) -> "Subset":
    choices: dict[str, Subset] = {"": "", "dev": "dev", "eval": "eval"}
    if name not in choices:
        raise ConfigError(f"--set: expected dev or eval, got {name!r}")
    return choices[name]


def _print(result: "ReplayResult", out: Path | None) -> None:
    from asd_monitor.terminal.tables import stdout_console
    from asd_monitor.terminal.wrapping import wrap
    from asd_offline.replay.console import summarize

    console = stdout_console()
    for part in summarize(result):
        if isinstance(part, str):
            console.print(wrap(part), soft_wrap=True)
        else:
            console.print(part)
    if out is not None:
        console.print(f"wrote {out}: report.html, result.json and more", soft_wrap=True)
