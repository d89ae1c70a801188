"""``asd-monitor resend``: send scores and events again, to a broker that has lost them."""

from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import StateDir
from asd_monitor.commands.state_options import ConfigFile, find_state

if TYPE_CHECKING:
    from asd_monitor.outbox.stored import Selection


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
    recognise duplicates. If it does not run, it sends them at its next start. Sparkplug B has an
    outbox of its own, whose values are sent again as historical ones.

    Example: `asd-monitor resend --since 2h --config plant.yaml`
    """
    import time

    from asd_monitor.errors import ConfigError
    from asd_monitor.outbox import stored
    from asd_monitor.outbox.database import FILE_NAME, SPARKPLUG_FILE_NAME
    from asd_monitor.storage.private import keep_private
    from asd_monitor.terminal.durations import parse_moment

    keep_private()
    root = find_state(state_dir, config).root
    since_s = parse_moment(since, time.time())
    paths = [root / FILE_NAME]
    if (root / SPARKPLUG_FILE_NAME).exists():
        paths.append(root / SPARKPLUG_FILE_NAME)
    if machine is not None:
        known = sorted({name for path in paths for name in stored.machines(path)})
        if machine not in known:
            names = ", ".join(known) or "none"
            msg = f"--machine {machine}: nothing of it is in {paths[0]}; machines: {names}"
            raise ConfigError(msg)
    for path in paths:
        found = stored.request_resend(path, round(1000 * since_s), machine or "")
        over = "over Sparkplug: " if path.name == SPARKPLUG_FILE_NAME else ""
        typer.echo(f"{over}{_describe(found)}")


def _describe(found: "Selection") -> str:
    """Return what is to be sent again, for people."""
    from asd_monitor.terminal.durations import format_local_time

    if found.oldest_ms is None:
        return "nothing to send again: the broker has acknowledged nothing since then"
    oldest = format_local_time(found.oldest_ms / 1000, seconds=True)
    scores = f"{found.scores} score{'' if found.scores == 1 else 's'}"
    events = f"{found.events} event{'' if found.events == 1 else 's'}"
    return f"to be sent again, from {oldest} on: {scores} and {events}"
