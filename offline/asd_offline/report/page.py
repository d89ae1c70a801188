"""Page of a report: summary, table, sections, rejected files and provenance."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from importlib.resources import files

from asd_monitor import __version__
from asd_offline.evaluation.table import reason_lines, score_lines, table_rows
from asd_offline.html.document import render_document, render_facts
from asd_offline.replay.alarm_metrics import MIN_NORMAL_H, format_hours
from asd_offline.replay.outputs import RESULT, TABLE
from asd_offline.replay.plan import Plan
from asd_offline.replay.results import ReplayResult
from asd_offline.replay.window_csv import WINDOWS
from asd_offline.report.pictures import KeyClip
from asd_offline.report.section import render_section

MAX_REJECTED = 500


def render_page(result: ReplayResult, plan: Plan, clips: Mapping[int, Sequence[KeyClip]]) -> str:
    """Return the page, with every name escaped.

    Parameters
    ----------
    result
        Result of the replay.
    plan
        What was replayed.
    clips
        Key clips by the number of the section.
    """
    name = plan.dataset.root.resolve().name or str(plan.dataset.root)
    rules = result.challenge.rules
    count = sum(bool(section.clips) for section in result.sections)
    sections = "".join(
        render_section(section, rules, count, clips.get(section.plan.number, ()))
        for section in result.sections
        if section.clips
    )
    return render_document(
        f"Replay of {name}",
        f"{_summary(result, name)}{_table(result)}{_navigation(result)}{sections}"
        f"{_rejected(result)}{render_facts('Provenance', _facts(result, plan))}",
        script=files("asd_offline.report").joinpath("clip_table.js").read_text(encoding="utf-8"),
    )


def _summary(result: ReplayResult, name: str) -> str:
    title = f"DCASE {result.year} Task 2" if result.year else "Your own recordings"
    model = result.model
    by = f"{model['name']} {model['revision']}" if model["file"] else "quick-start detectors"
    notes = "".join(f"<p class='soft'>{escape(note)}</p>" for note in result.notes)
    tiles = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span class="small soft">{label}</span></div>'
        for label, value in _tiles(result)
    )
    return (
        f"<h1>{escape(name)}</h1><p class='soft'>{title}, replayed with {escape(by)}</p>{notes}"
        f'<div class="tiles">{tiles}</div>'
    )


def _tiles(result: ReplayResult) -> Iterator[tuple[str, str]]:
    """Yield labels and values of the figures at the top."""
    challenge = result.challenge
    label = "official score"
    if challenge.official_score is None:
        scored = sum(bool(section.clips) for section in result.sections)
        label = f"partial score ({scored} of {len(result.sections)} sections)"
    mean = challenge.means.over_all(challenge.rules)
    for name, value in (
        (label, challenge.partial_score),
        ("mean AUC", mean.auc),
        ("mean pAUC", mean.pauc),
    ):
        yield name, "-" if value is None else f"{value:.4f}"
    alarms = [section.alarm for section in result.sections if section.alarm]
    anomalies = sum(alarm.anomalies for alarm in alarms)
    if anomalies:
        detected = sum(alarm.detected for alarm in alarms)
        yield "anomalies that raise the alarm", f"{detected} of {anomalies}"
    hours = sum(alarm.normal_hours for alarm in alarms)
    if hours:
        count = sum(alarm.false_alarms for alarm in alarms)
        label = f"false alarms in {format_hours(hours)} of normal clips"
        if hours < MIN_NORMAL_H:
            label += ": too little normal sound to estimate how often"
        yield label, str(count)


def _table(result: ReplayResult) -> str:
    heading, rows = table_rows(result.challenge)
    head = "".join(f"<th>{escape(name)}</th>" for name in heading)
    body = "".join(
        f"<tr{' class=mean' if is_mean else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for cells, is_mean in rows
    )
    lines = score_lines(result.challenge) if result.year else reason_lines(result.challenge)
    notes = "<br>".join(escape(line) for line in lines)
    return (
        '<section><h2>Result</h2><div class="scroll" tabindex="0"><table class="summary"><thead>'
        f"<tr>{head}"
        f"</tr></thead><tbody>{body}</tbody></table></div>"
        f"<p class='small soft'>{notes}</p></section>"
    )


def _navigation(result: ReplayResult) -> str:
    sections = [section.plan for section in result.sections if section.clips]
    if len(sections) < 2:
        return ""
    links = (f'<a href="#s{plan.number}">{escape(plan.name)}</a>' for plan in sections)
    return f"<nav>{''.join(links)}</nav>"


def _rejected(result: ReplayResult) -> str:
    rejected = result.challenge.rejected
    if not rejected:
        return ""
    rows = "".join(
        f"<tr><td>{escape(str(file.path))}</td>"
        f"<td>{escape(file.reason.removeprefix(f'{file.path}: '))}</td></tr>"
        for file in rejected[:MAX_REJECTED]
    )
    more = len(rejected) - MAX_REJECTED
    rest = f"<p>and {more} more: see result.json</p>" if more > 0 else ""
    return (
        f'<details class="card" open><summary>{len(rejected)} files rejected</summary>'
        '<div class="scroll" tabindex="0"><table class="names"><thead>'
        "<tr><th>file</th><th>reason</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div>{rest}</details>"
    )


def _facts(result: ReplayResult, plan: Plan) -> Iterator[tuple[str, str]]:
    if result.command:
        yield "command", f"<code>{escape(result.command)}</code>"
    yield "dataset", escape(str(plan.dataset.root.absolute()))
    yield "created", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    yield "versions", f"asd-monitor {__version__}, torch {escape(version('torch'))}"
    if plan.model:
        manifest = plan.model.manifest
        yield "model", f"{escape(manifest.name)} {escape(manifest.revision)}"
        yield "model file", f"<code>{escape(str(plan.model.path))}</code>"
        yield "SHA-256", f"<code>{plan.model.sha256}</code>"
    links = (f'<a href="{name}">{name}</a>' for name in (WINDOWS, TABLE, RESULT))
    yield "files", ", ".join(links)
    yield "alarm", "that of the live monitor, on windows that do not overlap; its rules are above"
    yield (
        "false alarms",
        "all normal test clips of a section are played one after the other, in order of file name",
    )
    yield (
        "delay",
        "each anomalous clip is played alone, repeatedly, until the alarm is raised or 5 min have "
        "passed: the delay for a fault that continues to sound as in the clip",
    )
