"""Summary of a replay of timelines for the terminal."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from asd_offline.replay.alarm_metrics import format_hours
from asd_offline.timeline.metrics import LIMITS_S, Detections, Rate, TimelineMetrics
from asd_offline.timeline.results import TimelineResult

COUNT_COLUMNS = ("faults", "detected", *(f"<= {limit} s" for limit in LIMITS_S), "median delay")
MAX_LISTED = 10


def summarize(result: TimelineResult) -> Iterator[Table | str]:
    """Yield the model, the tables by stream and by label, rates, rules and false alarms."""
    yield describe_model(result)
    yield ""
    yield _stream_table(result)
    by_label = result.metrics.detections_by_label()
    if by_label:
        yield ""
        yield _label_table(by_label)
    yield ""
    yield from describe_result(result)
    yield from _false_alarm_lines(result)
    for file in result.rejected[:MAX_LISTED]:
        yield f"not learned: {file.path}: {file.reason.removeprefix(f'{file.path}: ')}"


def describe_model(result: TimelineResult) -> str:
    """Return which model was used, and how much sound was learned."""
    model = result.model
    if model["file"]:
        return f"{model['name']} {model['revision']} ({str(model['sha256'])[:12]})"
    count = "a quick-start detector" if model["fitted"] == 1 else f"{model['fitted']} detectors"
    return f"{count}, learned from {format_duration(result.learned_s)} of normal sound"


def describe_result(result: TimelineResult) -> Iterator[str]:
    """Yield the summary in sentences: false alarms, detections, rules, other time."""
    metrics = result.metrics
    yield f"{describe_false_alarms(metrics)}; false warnings: {_false_warnings(metrics)}"
    found = metrics.detections
    if found.faults:
        yield f"faults detected: {describe_detections(found)}"
    for rule, counts in metrics.by_rule().items():
        yield (
            f"by rule {rule}: detected {counts['detected']}, false alarms {counts['false_alarms']}"
        )
    other = [
        f"{format_duration(seconds)} {name}"
        for name, seconds in (
            ("off", sum(stream.off_s for stream in metrics.streams)),
            ("unknown", sum(stream.unknown_s for stream in metrics.streams)),
            ("ignored", sum(stream.ignored_s for stream in metrics.streams)),
        )
        if seconds > 0
    ]
    if other:
        yield f"not counted as normal sound: {', '.join(other)}"


def describe_false_alarms(metrics: TimelineMetrics) -> str:
    """Return number and rate of the false alarms with its interval."""
    count = metrics.false_alarms
    alarms = "1 false alarm" if count == 1 else f"{count} false alarms"
    sound = f"{format_duration(3600 * metrics.normal_h)} of normal sound"
    return f"{alarms} in {sound}: {format_rate(metrics.false_alarms_per_week)}"


def format_rate(rate: Rate) -> str:
    """Return a rate per week with its interval."""
    if rate.value is None or rate.low is None or rate.high is None:
        return "no rate"
    value, low, high = map(format_number, (rate.value, rate.low, rate.high))
    return f"{value} per week (95 % interval {low} to {high})"


def format_number(value: float) -> str:
    """Return a number with three digits, or more before the decimal point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def describe_detections(found: Detections) -> str:
    """Return how many faults were detected, and how soon."""
    within = ", ".join(
        f"{count} within {limit} s" for limit, count in zip(LIMITS_S, found.within, strict=True)
    )
    text = f"{found.detected} of {found.faults}, {within}"
    if found.median_delay_s is not None:
        text += f", median delay {found.median_delay_s:.0f} s"
    if found.masked:
        text += f"; {found.masked} missed because an earlier alarm was active when they began"
    return text


def detection_cells(found: Detections) -> list[str]:
    """Return the cells of a table row under :data:`COUNT_COLUMNS`."""
    if not found.faults:
        return ["-"] * len(COUNT_COLUMNS)
    delay = "-" if found.median_delay_s is None else f"{found.median_delay_s:.0f} s"
    return [str(found.faults), str(found.detected), *map(str, found.within), delay]


def stream_rows(result: TimelineResult) -> Iterator[list[str]]:
    """Yield the rows of the table by stream; with several streams the last one is the total."""
    rows = [(result.name_of(stream.outcome), stream.metrics) for stream in result.streams]
    if len(rows) > 1:
        rows.append(("all", result.metrics))
    for name, metrics in rows:
        duration_s = sum(stream.duration_s for stream in metrics.streams)
        yield [
            name,
            format_duration(duration_s),
            format_duration(3600 * metrics.normal_h),
            str(metrics.false_alarms),
            *detection_cells(metrics.detections),
        ]


STREAM_COLUMNS = ("stream", "length", "normal", "false alarms", *COUNT_COLUMNS)


def _stream_table(result: TimelineResult) -> Table:
    rows = list(stream_rows(result))
    table = _make_table(STREAM_COLUMNS)
    for row in rows:
        if row is rows[-1] and len(rows) > 1:
            table.add_section()
        table.add_row(*row)
    return table


def _label_table(by_label: dict[str, Detections]) -> Table:
    table = _make_table(("label", *COUNT_COLUMNS))
    for label, found in by_label.items():
        table.add_row(label, *detection_cells(found))
    return table


def _make_table(columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index else "left", overflow="fold")
    return table


def _false_warnings(metrics: TimelineMetrics) -> int:
    return sum(stream.false_warnings for stream in metrics.streams)


def _false_alarm_lines(result: TimelineResult) -> Iterator[str]:
    alarms = [
        (result.name_of(stream.outcome), alarm)
        for stream in result.streams
        for alarm in stream.outcome.false_alarms
    ]
    for name, alarm in alarms[:MAX_LISTED]:
        yield f"false alarm: {name} at {format_time(alarm.raised_s)}: {alarm.reason}"
    if len(alarms) > MAX_LISTED:
        yield f"and {len(alarms) - MAX_LISTED} more, listed with --json"


def format_duration(seconds: float) -> str:
    """Return an amount of sound in seconds, minutes or hours."""
    return f"{seconds:.3g} s" if seconds < 60 else format_hours(seconds / 3600)


def format_time(seconds: float) -> str:
    """Return a time in a stream as ``h:mm:ss``."""
    minutes, whole_s = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{whole_s:02d}"
