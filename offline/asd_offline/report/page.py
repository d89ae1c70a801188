"""The page of a report: head, table, sections, rejected files, facts."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape

from asd_monitor import __version__
from asd_offline.evaluation.table import reason_lines, score_lines, table_rows
from asd_offline.html.document import document
from asd_offline.replay.plan import Plan
from asd_offline.replay.results import ReplayResult, scoring_rules_year
from asd_offline.report.pictures import Shown
from asd_offline.report.section import section_part

REJECTED_AT_MOST = 500


def page(replayed: ReplayResult, plan: Plan, shown: Mapping[int, Sequence[Shown]]) -> str:
    """Return the page; every name in it is escaped.

    Parameters
    ----------
    replayed
        What came out.
    plan
        What was done.
    shown
        Pictures by the number of the section.
    """
    name = plan.dataset.root.resolve().name or str(plan.dataset.root)
    rules = scoring_rules_year(plan.dataset.clips, replayed.year)
    sections = "".join(
        section_part(each, rules, replayed.alarm, shown.get(each.plan.number, ()))
        for each in replayed.sections
        if each.clips
    )
    return document(
        f"Replay of {name}",
        f"{_head(replayed, name)}{_table(replayed)}{_navigation(replayed)}{sections}"
        f"{_rejected(replayed)}{_facts(replayed, plan)}",
    )


def _head(replayed: ReplayResult, name: str) -> str:
    result = replayed.result
    title = f"DCASE {replayed.year} Task 2" if replayed.year else "Recordings of one's own"
    model = replayed.model
    by = f"{model['name']} {model['revision']}" if model["file"] else "quick-start detectors"
    scored = sum(bool(each.clips) for each in replayed.sections)
    what = "official score"
    if result.official_score is None:
        what = f"score of what is there: {scored} of {len(replayed.sections)} sections"
    tiles = [_tile(what, result.partial_score)]
    mean = result.means.arithmetic if result.year == 2020 else result.means.harmonic
    tiles += [_tile("mean AUC", mean.auc), _tile("mean pAUC", mean.pauc)]
    heard = [each.alarm for each in replayed.sections if each.alarm]
    anomalies = sum(each.anomalies for each in heard)
    if anomalies:
        share = f"{sum(each.detected for each in heard)} of {anomalies}"
        tiles.append(_tile("anomalies that raise the alarm", share))
    hours = sum(each.normal_hours for each in heard)
    if hours:
        count = sum(each.false_alarms for each in heard)
        tiles.append(_tile(f"false alarms in {hours:.2f} h of normal clips", str(count)))
    notes = "".join(f"<p class='soft'>{escape(note)}</p>" for note in replayed.notes)
    return (
        f"<h1>{escape(name)}</h1><p class='soft'>{title}, replayed through {escape(by)}</p>{notes}"
        f'<div class="tiles">{"".join(tiles)}</div>'
    )


def _tile(name: str, value: float | str | None) -> str:
    shown = "-" if value is None else value if isinstance(value, str) else f"{value:.4f}"
    return f'<div class="tile"><b>{escape(shown)}</b><span class="small soft">{name}</span></div>'


def _table(replayed: ReplayResult) -> str:
    heading, rows = table_rows(replayed.result)
    head = "".join(f"<th>{escape(each)}</th>" for each in heading)
    body = "".join(
        f"<tr{' class=mean' if is_mean else ''}>"
        + "".join(f"<td>{escape(each)}</td>" for each in cells)
        + "</tr>"
        for cells, is_mean in rows
    )
    lines = score_lines(replayed.result) if replayed.year else reason_lines(replayed.result)
    below = "".join(f"<p class='small soft'>{escape(line)}</p>" for line in lines)
    return (
        f'<section><h2>Result</h2><div class="scroll"><table class="summary"><thead><tr>{head}'
        f"</tr></thead><tbody>{body}</tbody></table></div>{below}</section>"
    )


def _navigation(replayed: ReplayResult) -> str:
    links = "".join(
        f'<a href="#s{each.plan.number}">{escape(each.plan.name)}</a>'
        for each in replayed.sections
        if each.clips
    )
    return f"<nav>{links}</nav>" if links.count("<a") > 1 else ""


def _rejected(replayed: ReplayResult) -> str:
    rejected = replayed.result.rejected
    if not rejected:
        return ""
    rows = "".join(
        f"<tr><td>{escape(str(each.path))}</td>"
        f"<td>{escape(each.reason.removeprefix(f'{each.path}: '))}</td></tr>"
        for each in rejected[:REJECTED_AT_MOST]
    )
    more = len(rejected) - REJECTED_AT_MOST
    rest = f"<p>and {more} more: see result.json</p>" if more > 0 else ""
    return (
        f'<details class="card" open><summary>{len(rejected)} files rejected</summary>'
        '<div class="scroll"><table class="names"><thead><tr><th>file</th><th>reason</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>{rest}</details>"
    )


def _facts(replayed: ReplayResult, plan: Plan) -> str:
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in _fact_list(replayed, plan)
    )
    return f'<section><h2>How this was made</h2><dl class="facts">{facts}</dl></section>'


def _fact_list(replayed: ReplayResult, plan: Plan) -> Iterator[tuple[str, str]]:
    from importlib.metadata import version

    if replayed.command:
        yield "command", f"<code>{escape(replayed.command)}</code>"
    yield "dataset", escape(str(plan.dataset.root.absolute()))
    yield "made", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    torch = version("torch")
    yield "versions", f"asd-monitor {__version__}, torch {escape(torch)}"
    if plan.given:
        manifest = plan.given.manifest
        yield "model", f"{escape(manifest.name)} {escape(manifest.revision)}"
        yield "model file", f"<code>{escape(str(plan.given.path))}</code>"
        yield "SHA-256", f"<code>{plan.given.sha256}</code>"
    rules = replayed.alarm
    sustained = f", or by a shift of {rules.sustained_s:g} s" if rules.sustained_s else ""
    yield (
        "alarm",
        f"raised by {rules.min_exceedances} of {rules.window_count} windows above the threshold "
        f"that do not overlap{sustained}, as in the live monitor",
    )
    yield (
        "false alarms",
        "all normal test clips of a section played one after the other, in order of their names",
    )
    yield (
        "delay",
        "each anomalous clip by itself, repeated until the alarm is raised or 5 min are over: "
        "that of a fault which goes on sounding as it does in the clip",
    )
