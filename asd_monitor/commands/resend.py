"""``asd-monitor resend``: send scores and events again, to a broker that has lost them."""

from typing import Annotated

import typer

from asd_monitor.commands.options import StateDir
from asd_monitor.commands.state_options import ConfigFile, find_state


def resend(
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="TIME",
            help="From this long ago, such as `2h` or `7d`, or from a date such as "
            "`2026-11-30T14:00`.",
        ),
    ],
    machine: Annotated[
        str | None,
        typer.Option("--machine", metavar="NAME", help="Only of this machine. By default of all."),
    ] = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Send scores and events again over MQTT, to a broker that has lost them.

    The monitor keeps what the broker has acknowledged for a week. If it runs, it begins within a
    second; scores go to the topics `backlog`, with the same key as before, so that subscribers can
    recognise duplicates. If it does not run, it sends them at its next start.

    Example: `asd-monitor resend --since 2h --config plant.yaml`
    """
    import time

    from asd_monitor.errors import ConfigError
    from asd_monitor.outbox import stored
    from asd_monitor.outbox.database import FILE_NAME
    from asd_monitor.storage.private import keep_private
    from asd_monitor.terminal.durations import format_local_time, parse_moment

    keep_private()
    path = find_state(state_dir, config).root / FILE_NAME
    since_s = parse_moment(since, time.time())
    if machine is not None:
        known = sorted(stored.machines(path))
        if machine not in known:
            names = ", ".join(known) or "none"
            msg = f"--machine {machine}: nothing of it is in {path}; machines: {names}"
            raise ConfigError(msg)
    found = stored.request_resend(path, round(1000 * since_s), machine or "")
    if found.oldest_ms is None:
        typer.echo("nothing to send again: the broker has acknowledged nothing since then")
        return
    oldest = format_local_time(found.oldest_ms / 1000, seconds=True)
    scores = f"{found.scores} score{'' if found.scores == 1 else 's'}"
    events = f"{found.events} event{'' if found.events == 1 else 's'}"
    typer.echo(f"to be sent again, from {oldest} on: {scores} and {events}")
