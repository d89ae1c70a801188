"""``asd-monitor replay --timeline``: play long labelled streams through the live path."""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import typer

from asd_monitor.commands.interrupt import exit_on_interrupt
from asd_monitor.commands.options import Device
from asd_monitor.terminal.progress import console_progress


def replay_timeline(
    folder: Path,
    *,
    machines: tuple[str, ...],
    model: str,
    trusted_keys: tuple[str, ...],
    out: Path | None,
    channel: int,
    device: Device,
    jobs: int | None,
    cluster: str,
    as_json: bool,
) -> None:
    """Replay the streams of a folder and print the result."""
    from asd_monitor.terminal.tables import stdout_console
    from asd_offline.timeline import TimelineSettings, replay_timelines
    from asd_offline.timeline.console import summarize
    from asd_offline.timeline.page import write_page

    settings = TimelineSettings(
        folder,
        machines,
        model,
        out,
        channel,
        device,
        shlex.join(["asd-monitor", *sys.argv[1:]]),
        trusted_keys=trusted_keys,
        cluster=cluster,
    )
    if jobs is not None:
        settings = replace(settings, jobs=jobs)
    hint = "run the same command again to resume"
    with exit_on_interrupt(hint), console_progress() as progress:
        result = replay_timelines(settings, progress, write_page)
    if as_json:
        typer.echo(json.dumps(result.to_dict(), allow_nan=False))
        return
    console = stdout_console()
    for part in summarize(result):
        console.print(part, soft_wrap=isinstance(part, str))
    if out is not None:
        console.print(f"wrote {out}: report.html and result.json", soft_wrap=True)
