"""What a replay says on the terminal: the year's table, and how the alarm would have fared."""

from collections.abc import Iterator

from rich.table import Table

from asd_offline.evaluation.table import reason_lines, result_table, score_lines
from asd_offline.replay.results import ReplayResult

REJECTED_SHOWN = 5


def summary(replayed: ReplayResult) -> Iterator[Table | str]:
    """Return a heading, the table, the score, and what else should be known."""
    result = replayed.result
    title = f"DCASE {replayed.year} Task 2" if replayed.year else "recordings of one's own"
    yield f"{_model(replayed)}, {title}"
    for note in replayed.notes:
        yield f"note: {note}"
    yield ""
    yield result_table(result)
    yield ""
    if replayed.year is None:
        yield from reason_lines(result)
    else:
        yield from score_lines(result)
    yield from _alarm_lines(replayed)
    yield from _rejected_lines(replayed)


def _model(replayed: ReplayResult) -> str:
    model = replayed.model
    if model["file"]:
        return f"{model['name']} {model['revision']} ({model['sha256'][:12]})"
    return f"quick-start detectors, {model['fitted']} fitted"


def _alarm_lines(replayed: ReplayResult) -> Iterator[str]:
    heard = [each.alarm for each in replayed.sections if each.alarm is not None]
    hours = sum(each.normal_hours for each in heard)
    anomalies = sum(each.anomalies for each in heard)
    if not hours and not anomalies:
        return
    rules = replayed.alarm
    yield f"alarm ({rules.min_exceedances} of {rules.window_count} windows above the threshold):"
    if anomalies:
        detected = sum(each.detected for each in heard)
        yield f"  raised by {detected} of {anomalies} anomalies, if their sound goes on"
    if hours:
        false_alarms = sum(each.false_alarms for each in heard)
        yield f"  {false_alarms} false alarms in {hours:.2f} h of normal test clips"


def _rejected_lines(replayed: ReplayResult) -> Iterator[str]:
    rejected = replayed.result.rejected
    if not rejected:
        return
    yield f"{len(rejected)} files rejected:"
    for each in rejected[:REJECTED_SHOWN]:
        reason = each.reason.removeprefix(f"{each.path}: ")
        yield f"  {each.path}: {reason}"
    if len(rejected) > REJECTED_SHOWN:
        yield f"  and {len(rejected) - REJECTED_SHOWN} more, listed with --json"
