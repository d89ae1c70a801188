"""Report of a replay of timelines: one HTML page without external resources."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path

from asd_monitor import __version__
from asd_offline.html.document import render_document, render_facts
from asd_offline.timeline.console import (
    COUNT_COLUMNS,
    STREAM_COLUMNS,
    describe_model,
    describe_result,
    detection_cells,
    format_duration,
    format_number,
    format_time,
    stream_rows,
)
from asd_offline.timeline.metrics import LIMITS_S
from asd_offline.timeline.outcome import AFTER_FAULT_S, Outcome
from asd_offline.timeline.picture import draw_stream
from asd_offline.timeline.results import PlayedStream, TimelineResult

STYLE = """
.timeline svg { min-width: 760px; }
.span { fill-opacity: .16; } .span.detected { fill: var(--green); }
.span.missed { fill: var(--red); }
.span.ignored { fill: var(--soft); } .line.score { stroke: var(--blue); stroke-width: 1; }
.state.warning { fill: var(--orange); } .state.alarm { fill: var(--red); }
.state.off { fill: var(--soft); fill-opacity: .6; }
.state.unknown { fill: var(--soft); fill-opacity: .25; }
.raised.true { fill: var(--green); } .raised.false { fill: var(--red); }
.key.score { color: var(--blue); } .key.detected, .key.true { color: var(--green); }
.key.missed, .key.false, .key.alarm { color: var(--red); } .key.warning { color: var(--orange); }
.key.off { color: var(--soft); }
.keys { line-height: 1.8; }
.keys .key { white-space: nowrap; } .alarms { min-width: 640px; }
.alarms td:not(:last-child) { white-space: nowrap; }
"""
KEYS = (
    ("score", "score; dashed: limits"),
    ("detected", "detected fault, and the alarm that detected it"),
    ("missed", "missed fault, or false alarm"),
    ("off", "at the bottom: OFF or UNKNOWN"),
    ("warning", "WARNING"),
    ("alarm", "ALARM"),
)
MAX_ALARMS = 200


def write_page(path: Path, result: TimelineResult) -> None:
    """Write the report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(render_page(result).encode("utf-8", "replace"))


def render_page(result: TimelineResult) -> str:
    """Return the page, with every name escaped."""
    name = result.folder.resolve().name
    lines = "<br>".join(escape(line) for line in describe_result(result))
    sections = "".join(_section(result, stream) for stream in result.streams)
    tiles = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span class="small soft">{escape(label)}</span>'
        "</div>"
        for label, value in _tiles(result)
    )
    return render_document(
        f"Timelines of {name}",
        f"<h1>{escape(name)}</h1><p class='soft'>Timelines, played through the live path with "
        f'{escape(describe_model(result))}</p><div class="tiles">{tiles}</div>'
        f"<section><h2>Result</h2>{_table(STREAM_COLUMNS, list(stream_rows(result)))}"
        f"<p class='small soft'>{lines}</p>{_labels(result)}</section>{sections}"
        f"{render_facts('Provenance', _facts(result))}",
        style=STYLE,
    )


def _tiles(result: TimelineResult) -> Iterator[tuple[str, str]]:
    metrics = result.metrics
    rate = metrics.false_alarms_per_week
    label = f"false alarms in {format_duration(3600 * metrics.normal_h)} of normal sound"
    yield label, str(metrics.false_alarms)
    if rate.high is not None:
        interval = f"{format_number(rate.low or 0.0)} to {format_number(rate.high)}"
        yield "false alarms per week, 95 % interval", interval
    found = metrics.detections
    if found.faults:
        yield "faults detected", f"{found.detected} of {found.faults}"
        for limit, count in zip(LIMITS_S, found.within, strict=True):
            yield f"detected within {limit} s", f"{100 * count / found.faults:.0f} %"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr{' class=mean' if row[0] == 'all' else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    return (
        '<div class="scroll" tabindex="0"><table class="named"><thead>'
        f"<tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _labels(result: TimelineResult) -> str:
    by_label = result.metrics.detections_by_label()
    if not by_label:
        return ""
    rows = [[label, *detection_cells(found)] for label, found in by_label.items()]
    return f"<h3>Faults by label</h3>{_table(('label', *COUNT_COLUMNS), rows)}"


def _section(result: TimelineResult, stream: PlayedStream) -> str:
    keys = " ".join(f'<span class="key {css}">{escape(text)}</span>' for css, text in KEYS)
    return (
        f"<section><h2>{escape(result.name_of(stream.outcome))}</h2>"
        f'<div class="scroll timeline" tabindex="0">{draw_stream(stream)}</div>'
        f'<p class="small soft keys">{keys}</p>{_alarm_table(stream)}</section>'
    )


def _alarm_table(stream: PlayedStream) -> str:
    alarms = stream.outcome.alarms
    if not alarms:
        return "<p>No alarm was raised.</p>"
    words = {
        Outcome.DETECTION: "detects a fault",
        Outcome.REPEATED: "repeated in the same fault",
        Outcome.FALSE: "false",
        Outcome.IGNORED: "in an ignored part",
    }
    rows = "".join(
        f"<tr><td>{format_time(alarm.raised_s)}</td>"
        f"<td>{'at the end' if alarm.cleared_s is None else format_time(alarm.cleared_s)}</td>"
        f"<td>{words[alarm.outcome]}</td><td>{escape(alarm.rule)}</td>"
        f"<td>{escape(alarm.reason)}</td></tr>"
        for alarm in alarms[:MAX_ALARMS]
    )
    more = len(alarms) - MAX_ALARMS
    rest = f"<p>and {more} more: see result.json</p>" if more > 0 else ""
    return (
        f"<details{' open' if len(alarms) <= 12 else ''}><summary>Alarms: {len(alarms)}</summary>"
        '<div class="scroll" tabindex="0">'
        '<table class="names alarms"><thead><tr><th>raised</th><th>cleared</th><th>result</th>'
        f"<th>rule</th><th>reason</th></tr></thead><tbody>{rows}</tbody></table></div>{rest}"
        "</details>"
    )


def _facts(result: TimelineResult) -> Iterator[tuple[str, str]]:
    if result.command:
        yield "command", f"<code>{escape(result.command)}</code>"
    yield "folder", escape(str(result.folder.absolute()))
    yield "created", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    yield "versions", f"asd-monitor {__version__}, torch {escape(version('torch'))}"
    if result.model["file"]:
        yield "model file", f"<code>{escape(str(result.model['file']))}</code>"
    if result.rejected:
        listed = "; ".join(escape(f"{file.path.name}: {file.reason}") for file in result.rejected)
        yield "not learned", listed
    yield (
        "false alarm",
        f"an alarm raised in normal sound, later than {AFTER_FAULT_S:.0f} s after a fault",
    )
    yield (
        "detected",
        "an alarm is raised during the fault; one that was active when it began does not count",
    )
    yield "rate", "of a Poisson process, with its exact two-sided 95 % interval"
