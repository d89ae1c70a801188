"""Tables in Markdown."""

from collections.abc import Callable, Iterator, Sequence

from asd_offline.timeline.console import detection_cells, format_duration, format_number
from asd_offline.timeline.metrics import LIMITS_S, Detections, TimelineMetrics
from asd_offline.timeline.outcome import FaultOutcome, StreamOutcome

FAULT_COLUMNS = ("faults", "detected", *(f"within {limit} s" for limit in LIMITS_S))
NORMAL_COLUMNS = ("normal sound", "false warnings", "false alarms", "per week, 95 % interval")


def heading(*columns: str) -> str:
    """Return the first two lines of a table."""
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def row(*cells: object) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def normal_cells(streams: Sequence[StreamOutcome]) -> list[str]:
    """Return the cells under :data:`NORMAL_COLUMNS`."""
    metrics = TimelineMetrics(tuple(streams))
    rate = metrics.false_alarms_per_week
    interval = "-"
    if rate.value is not None and rate.low is not None and rate.high is not None:
        value, low, high = map(format_number, (rate.value, rate.low, rate.high))
        interval = f"{value} ({low} to {high})"
    rules = ", ".join(
        f"{counts['false_alarms']} {rule}"
        for rule, counts in metrics.by_rule().items()
        if counts["false_alarms"]
    )
    count = str(metrics.false_alarms) + (f" ({rules})" if rules else "")
    warnings = sum(stream.false_warnings for stream in streams)
    return [format_duration(3600 * metrics.normal_h), str(warnings), count, interval]


def fault_cells(faults: Sequence[FaultOutcome]) -> list[str]:
    """Return the cells under :data:`FAULT_COLUMNS` and the median delay, with shares."""
    found = Detections.count(faults)
    total, detected, *within, delay = detection_cells(found)
    if not found.faults:
        return [total, detected, *within, delay]
    shares = [f"{100 * count / found.faults:.0f} %" for count in (found.detected, *found.within)]
    return [total, *shares, delay]


def grouped_rows(
    faults: Sequence[FaultOutcome], key: Callable[[FaultOutcome], str]
) -> Iterator[str]:
    """Yield a row for each group of faults, in order of the first of each."""
    for name in dict.fromkeys(map(key, faults)):
        yield row(name, *fault_cells([fault for fault in faults if key(fault) == name]))
