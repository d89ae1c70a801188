"""``asd-monitor train --seeds N``: train several runs and print a table of them."""

import json
from typing import TYPE_CHECKING

import typer

from asd_monitor.commands.interrupt import exit_on_interrupt
from asd_monitor.terminal.escape import in_lines
from asd_monitor.terminal.progress import console_progress

if TYPE_CHECKING:
    from pathlib import Path

    from asd_offline.training.run import TrainRequest
    from asd_offline.training.sweep import SweepRun


def train_sweep(
    request: "TrainRequest",
    recipes: "tuple[Path, ...]",
    seeds: int,
    device: str,
    jobs: int | None,
    cluster: str,
    shard: str,
    *,
    as_json: bool,
) -> None:
    """Train all runs, or those of a shard; raise RunError if one failed."""
    from asd_monitor.errors import RunError
    from asd_offline.jobs.shards import Shard
    from asd_offline.training.sweep import SweepSettings, sweep

    settings = SweepSettings(
        request,
        recipes,
        seeds,
        device,
        jobs,
        cluster,
        Shard.parse(shard) if shard else None,
    )
    hint = f"{request.out} is kept: run the same command again to resume"
    with exit_on_interrupt(hint), console_progress() as progress:
        runs = sweep(settings, progress)
    if as_json:
        document = [
            {"run": str(request.out / run.name), "networks": run.epochs, "failure": run.failure}
            for run in runs
        ]
        typer.echo(json.dumps({"model": request.model, "runs": document}))
    else:
        _print(runs)
    if failed := [run.name for run in runs if run.failure is not None]:
        msg = f"failed: {', '.join(failed)}; run the same command again to retry only these"
        raise RunError(msg)


def _print(runs: "list[SweepRun]") -> None:
    for run in runs:
        if run.failure is not None:
            typer.echo(in_lines(f"{run.name}: {run.failure}"))
            continue
        losses = ", ".join(
            f"{epoch['network']} loss {epoch['loss']:.4g}{_auc(epoch)}" for epoch in run.epochs
        )
        typer.echo(in_lines(f"{run.name}: {losses or 'not trained: 0 epochs'}"))


def _auc(epoch: dict[str, object]) -> str:
    auc = epoch.get("auc")
    return f", AUC {sum(auc.values()) / len(auc):.3f}" if isinstance(auc, dict) and auc else ""
