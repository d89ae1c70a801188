"""Summary of a replay for the terminal: table, score, alarm and rejected files."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from rich.table import Table

from asd_offline.evaluation.table import reason_lines, result_table, score_lines
from asd_offline.replay.alarm_metrics import (
    MIN_NORMAL_H,
    AlarmMetrics,
    format_hours,
    format_rules,
)
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
    """Yield verdicts of the clips, and what the alarm does, with the rules that raised it."""
    metrics = [section.alarm for section in result.sections if section.alarm is not None]
    hours = sum(section.normal_hours for section in metrics)
    anomalies = sum(section.anomalies for section in metrics)
    if not hours and not anomalies:
        return
    verdicts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for section in result.sections:
        for label, counts in section.count_verdicts().items():
            verdicts[label].update(counts)
    yield "verdicts of the clips:"
    for label, words in verdicts.items():
        yield f"  {label}: " + ", ".join(f"{count} {word}" for word, count in words.most_common())
    yield "alarm, as in the live monitor:"
    if anomalies:
        yield f"  raised for {_describe_detected(metrics, anomalies)}"
    if hours:
        yield f"  {_describe_false_alarms(metrics, hours)}"


def _describe_detected(metrics: Sequence[AlarmMetrics], anomalies: int) -> str:
    rules = sum((Counter(section.detected_by) for section in metrics), Counter())
    by = f": {format_rules(rules)}" if rules else ""
    return f"{rules.total()} of {anomalies} anomalies (clip repeated for up to 5 min){by}"


def _describe_false_alarms(metrics: Sequence[AlarmMetrics], hours: float) -> str:
    rules = sum((Counter(section.false_alarms_by) for section in metrics), Counter())
    count = "1 false alarm" if rules.total() == 1 else f"{rules.total()} false alarms"
    text = f"{count} in {format_hours(hours)} of normal test clips"
    if rules:
        text += f": {format_rules(rules)}"
    return (
        text if hours >= MIN_NORMAL_H else f"{text}; too little normal sound to estimate how often"
    )


def _rejected_lines(result: ReplayResult) -> Iterator[str]:
    rejected = result.challenge.rejected
    if not rejected:
        return
    yield f"{len(rejected)} files rejected:"
    for file in rejected[:MAX_REJECTED]:
        yield f"  {file.path}: {file.reason.removeprefix(f'{file.path}: ')}"
    if len(rejected) > MAX_REJECTED:
        yield f"  and {len(rejected) - MAX_REJECTED} more, listed with --json"
