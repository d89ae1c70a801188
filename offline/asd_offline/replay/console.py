"""Summary of a replay for the terminal: table, score, alarm and rejected files."""

from collections.abc import Iterator

from rich.table import Table

from asd_offline.evaluation.table import reason_lines, result_table, score_lines
from asd_offline.replay.results import ReplayResult

MAX_REJECTED = 5


def summarize(result: ReplayResult) -> Iterator[Table | str]:
    """Yield the heading, notes, table, score, alarm metrics and rejected files."""
    title = f"DCASE {result.year} Task 2" if result.year else "your own recordings"
    yield f"{_model(result)}, {title}"
    for note in result.notes:
        yield f"note: {note}"
    yield ""
    yield result_table(result.challenge)
    yield ""
    if result.year is None:
        yield from reason_lines(result.challenge)
    else:
        yield from score_lines(result.challenge)
    yield from _alarm_lines(result)
    yield from _rejected_lines(result)


def _model(result: ReplayResult) -> str:
    model = result.model
    if model["file"]:
        return f"{model['name']} {model['revision']} ({model['sha256'][:12]})"
    return f"quick-start detectors, {model['fitted']} fitted"


def _alarm_lines(result: ReplayResult) -> Iterator[str]:
    metrics = [section.alarm for section in result.sections if section.alarm is not None]
    hours = sum(section.normal_hours for section in metrics)
    anomalies = sum(section.anomalies for section in metrics)
    if not hours and not anomalies:
        return
    alarm = result.alarm
    yield f"alarm ({alarm.min_exceedances} of {alarm.window_count} windows above the threshold):"
    if anomalies:
        detected = sum(section.detected for section in metrics)
        yield f"  raised for {detected} of {anomalies} anomalies (clip repeated for up to 5 min)"
    if hours:
        false_alarms = sum(section.false_alarms for section in metrics)
        yield f"  {false_alarms} false alarms in {hours:.2f} h of normal test clips"


def _rejected_lines(result: ReplayResult) -> Iterator[str]:
    rejected = result.challenge.rejected
    if not rejected:
        return
    yield f"{len(rejected)} files rejected:"
    for file in rejected[:MAX_REJECTED]:
        yield f"  {file.path}: {file.reason.removeprefix(f'{file.path}: ')}"
    if len(rejected) > MAX_REJECTED:
        yield f"  and {len(rejected) - MAX_REJECTED} more, listed with --json"
