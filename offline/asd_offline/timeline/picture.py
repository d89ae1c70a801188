"""Picture of a stream: score, limits, labels, alarms and states over time."""

import math
from collections.abc import Iterator, Sequence

from asd_monitor.records import State
from asd_offline.html.svg import Plot, Ticks, round_ticks
from asd_offline.timeline.labels import Span
from asd_offline.timeline.outcome import Outcome
from asd_offline.timeline.results import PlayedStream
from asd_offline.timeline.trace import ScoreBin, Trace

WIDTH, HEIGHT, LEFT = 1000, 250, 56
STRIP = 0.06
"""Height of a strip of states or alarms, as a fraction of the range of the score."""
LETTER_PX = 6.2
TOP_MARGIN = 0.12
MAX_OVER_LIMIT = 3.0
"""Scores this many times the highest limit are drawn at the upper edge."""
LAST_TICK = 0.98
"""Ticks beyond this fraction of the time axis are left out: their labels would be cut."""
TICKS_S = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400)
STATE_CLASSES = {
    State.WARNING: "warning",
    State.ALARM: "alarm",
    State.OFF: "off",
    State.UNKNOWN: "unknown",
    State.LEARNING: "unknown",
}


def draw_stream(stream: PlayedStream) -> str:
    """Draw one stream as an ``<svg>`` element."""
    trace = stream.trace
    low, high = _score_range(trace)
    strip = STRIP * (high - low)
    plot = Plot(
        (0.0, trace.duration_s),
        (low - 2.6 * strip, high),
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        label=f"Score, labels and alarms of {stream.outcome.name}",
    )
    for span in stream.spans:
        plot.add_box((span.start_s, span.end_s), plot.y, _span_class(stream, span))
    for period in trace.periods:
        if period.state in STATE_CLASSES:
            bottom = plot.y[0]
            plot.add_box(
                (period.start_s, period.end_s),
                (bottom, bottom + strip),
                f"state {STATE_CLASSES[period.state]}",
            )
    _add_scores(plot, trace.bins, low, high)
    for limit in trace.limits:
        value = _clip(limit.value, low, high)
        plot.add_line(plot.x, [value] * 2, "threshold")
        plot.add_text_px(WIDTH - 12, plot.to_px_y(value) - 4, limit.name, "end")
    for alarm in stream.outcome.alarms:
        end_s = trace.duration_s if alarm.cleared_s is None else alarm.cleared_s
        kind = "false" if alarm.outcome is Outcome.FALSE else "true"
        bottom = plot.y[0] + 1.3 * strip
        plot.add_box((alarm.raised_s, end_s), (bottom, bottom + strip), f"raised {kind}")
    plot.add_axes(_time_ticks(trace.duration_s), _score_ticks(low, high), "time (h:mm:ss)", "score")
    _add_names(plot, stream.spans, high)
    return plot.to_svg()


def _span_class(stream: PlayedStream, span: Span) -> str:
    if not span.is_fault:
        return "span ignored"
    missed = any(fault.span == span and fault.delay_s is None for fault in stream.outcome.faults)
    return "span missed" if missed else "span detected"


def _score_range(trace: Trace) -> tuple[float, float]:
    """Return the lowest and highest score that are drawn."""
    if not trace.bins:
        return 0.0, 1.0
    low = min(entry.low for entry in trace.bins)
    high = max(entry.high for entry in trace.bins)
    if trace.limits:
        limit = max(entry.value for entry in trace.limits)
        base = min(low, limit)
        high = max(limit, min(high, base + MAX_OVER_LIMIT * (limit - base)))
    if not high > low:
        low, high = low - 0.5, low + 0.5
    return low, high + TOP_MARGIN * (high - low)


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _add_scores(plot: Plot, bins: Sequence[ScoreBin], low: float, high: float) -> None:
    """Draw the range of each bin as a vertical line, joined to the next."""
    xs: list[float] = []
    ys: list[float] = []
    previous: ScoreBin | None = None
    for entry in bins:
        if previous is not None and _is_gap(previous, entry):
            plot.add_line(xs, ys, "score")
            xs, ys = [], []
        xs += [entry.start_s, entry.end_s]
        ys += [_clip(entry.low, low, high), _clip(entry.high, low, high)]
        previous = entry
    if xs:
        plot.add_line(xs, ys, "score")


def _is_gap(first: ScoreBin, second: ScoreBin) -> bool:
    """Return whether audio is missing between two bins."""
    return second.start_s - first.end_s > 2 * max(first.end_s - first.start_s, 15.0)


def _score_ticks(low: float, high: float) -> Ticks:
    return [tick for tick in round_ticks(low, high, 5) if low <= tick[0] <= high]


def _time_ticks(duration_s: float) -> Ticks:
    step_s = next((step for step in TICKS_S if duration_s / step <= 10), TICKS_S[-1])
    count = math.floor(LAST_TICK * duration_s / step_s)
    return [(float(n * step_s), _format_tick(n * step_s)) for n in range(count + 1)]


def _format_tick(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _add_names(plot: Plot, spans: Sequence[Span], high: float) -> None:
    """Write the labels above their spans, where there is room."""
    for x, text in _place_names(plot, spans):
        plot.add_text_px(x, plot.to_px_y(high) + 11, text)


def _place_names(plot: Plot, spans: Sequence[Span]) -> Iterator[tuple[float, str]]:
    starts = [plot.to_px_x(span.start_s) for span in spans]
    ends = [*starts[1:], float(plot.width)]
    for span, start, end in zip(spans, starts, ends, strict=True):
        letters = int((end - start - 4) / LETTER_PX)
        if letters >= min(len(span.label), 4):
            is_cut = len(span.label) > letters
            text = span.label[: letters - 1] + "\N{HORIZONTAL ELLIPSIS}" if is_cut else span.label
            yield start + 2, text
