"""``asd-monitor events``: the warnings and alarms of the machines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import AsJson, StateDir
from asd_monitor.commands.state_options import ConfigFile, Until, choose_machine, open_history
from asd_monitor.terminal.escape import in_lines, on_one_line
from asd_monitor.terminal.wrapping import wrap

if TYPE_CHECKING:
    from asd_monitor.history.reader import HistoryReader
    from asd_monitor.history.records import Event


def events(
    event: Annotated[
        str | None,
        typer.Argument(
            metavar="[EVENT]",
            help="Show this event with its notes. By default a list.",
            show_default=False,
        ),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option("--machine", metavar="NAME", help="Only events of this machine."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Only events that lasted until then or began later, such as `24h`, `7d` or "
            "`2026-11-30`.",
        ),
    ] = None,
    until: Until = None,
    only_open: Annotated[
        bool, typer.Option("--open", help="Only events that have not ended.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="At most this many, the newest.")
    ] = 50,
    as_json: AsJson = False,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """List the events of the machines: a warning, the alarm after it, and its end are one.

    Reads the history in the state folder, whether or not a monitor is running. Times are those of
    this computer's zone; in JSON they are in UTC.

    Example: `asd-monitor events --machine pump --since 7d`
    """
    import json
    import time

    from asd_monitor.history.export import event_to_dict
    from asd_monitor.terminal.durations import parse_moment

    reader = open_history(state_dir, config)
    if event is not None:
        _show_event(reader, event, as_json)
        return
    now_s = time.time()
    found = reader.events(
        None if machine is None else choose_machine(reader, machine),
        open=True if only_open else None,
        from_s=None if since is None else parse_moment(since, now_s),
        to_s=None if until is None else parse_moment(until, now_s),
        limit=limit,
    )
    if as_json:
        typer.echo(json.dumps([event_to_dict(item) for item in found], allow_nan=False))
    elif found:
        _print_list(found, now_s)
    else:
        typer.echo("no events")


def _print_list(found: "list[Event]", now_s: float) -> None:
    """Print two lines for each event, so that its id is never broken."""
    from asd_monitor.calibration.score_text import format_score
    from asd_monitor.commands.history_table import STYLES
    from asd_monitor.terminal.durations import format_local_time

    rows = [("began", "lasted", "machine", "state", "peak", "judged")]
    rows += [
        (
            format_local_time(event.opened_s),
            _format_length(event, now_s),
            event.machine,
            str(event.peak_state),
            format_score(event.peak_score),
            _format_judgement(event),
        )
        for event in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    colours = {state: style.removeprefix("bold ") for state, style in STYLES.items()}
    typer.echo(lines[0])
    for event, line in zip(found, lines[1:], strict=True):
        state = str(event.peak_state)
        typer.echo(line.replace(state, typer.style(state, fg=colours[event.peak_state]), 1))
        typer.echo(wrap(on_one_line(f"  {event.id}  {event.headline or event.reason}")))


def _format_length(event: "Event", now_s: float) -> str:
    from asd_monitor.terminal.durations import format_duration

    if event.closed_s is None:
        return f"{format_duration(now_s - event.opened_s)}, open"
    return format_duration(event.closed_s - event.opened_s)


def _format_judgement(event: "Event") -> str:
    words = [event.verdict] if event.verdict else []
    if event.acknowledged:
        words.append("acknowledged")
    return ", ".join(words) or "-"


def _show_event(reader: "HistoryReader", event_id: str, as_json: bool) -> None:
    import json

    from asd_monitor.errors import ConfigError
    from asd_monitor.history.export import event_to_dict, note_to_dict

    event = reader.event(event_id)
    if event is None:
        msg = (
            f"event {event_id!r}: there is no such event in {reader.path}; see `asd-monitor events`"
        )
        raise ConfigError(msg)
    notes = reader.notes(event_id)
    if as_json:
        document = event_to_dict(event) | {"notes": [note_to_dict(note) for note in notes]}
        typer.echo(json.dumps(document, allow_nan=False))
        return
    for name, text in _describe(event, reader.path.parent / "events" / event.id):
        typer.echo(wrap(on_one_line(f"{name:15} {text}"), hanging=16))
    for note in notes:
        from asd_monitor.terminal.durations import format_local_time

        text = f": {note.text}" if note.text else ""
        line = f"{'note':15} {format_local_time(note.at_s)} {note.who} {note.kind}{text}"
        typer.echo(wrap(in_lines(line), hanging=16))


def _describe(event: "Event", folder: Path) -> "list[tuple[str, str]]":
    """Return what is known of an event, each with its name."""
    import time

    from asd_monitor.calibration.score_text import format_score
    from asd_monitor.terminal.durations import format_duration, format_local_time

    lines = [
        ("event", event.id),
        ("machine", event.machine),
        ("began", format_local_time(event.opened_s, seconds=True)),
        ("lasted", _format_length(event, time.time())),
        ("state", f"{event.peak_state}: {event.reason}"),
        (
            "peak score",
            f"{format_score(event.peak_score)}, threshold {format_score(event.threshold)}",
        ),
        ("judged", _format_judgement(event)),
    ]
    if event.shift_s:
        lines.append(("shift", f"{format_duration(event.shift_s)} above its normal range"))
    if event.headline:
        lines.append(("sound", event.headline))
    if event.provisional:
        lines.append(("threshold", "provisional: based on little normal sound"))
    files = [name for name in (event.clip, event.picture) if name]
    lines += [("file", str(folder / name)) for name in files]
    return lines
