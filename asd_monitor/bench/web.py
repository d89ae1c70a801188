"""Measure what the web page and its viewers cost, and how fast its pages are."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median

import numpy as np

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.measurement import Measurement
from asd_monitor.bench.web_pages import measure_pages
from asd_monitor.bench.web_pair import Comparison, Reading, Situation, compare

AREA = "web"
CPU_ROUNDS, LATENCY_ROUNDS = 7, 3
HOP_S = 0.25
"""Hop of the model with which the latency is measured: four scores per second."""
MAX_RATIOS = {Situation.NO_VIEWER: 1.01, Situation.VIEWERS: 1.05, Situation.SPECTROGRAMS: 1.05}
"""Largest ratios of a monitor with the page to one without."""
MAX_MORE_MB = 40.0


def measure(context: BenchContext) -> Iterator[Measurement]:
    """Compare monitors with and without the page at the same time, then request pages."""
    rounds = 1 if context.quick else CPU_ROUNDS
    comparisons = compare(context, context.fixtures.model, rounds)
    yield from _measure_cpu(comparisons)
    yield from _measure_memory(comparisons)
    if not context.quick:  # else the latencies of the same comparisons are enough
        model = context.fixtures.folder / "hop-0.25s.asd"
        if not model.exists():
            context.fixtures.fit(model.name, 60.0, HOP_S)
        comparisons = compare(context, model, LATENCY_ROUNDS)
    yield from _measure_latency(comparisons)
    yield from measure_pages(context, AREA)


def _measure_cpu(comparisons: Sequence[Comparison]) -> Iterator[Measurement]:
    without_ms = median(each.without_page.cpu_ms_per_s for each in comparisons)
    text = "without the page, per s of audio"
    yield Measurement(AREA, "no_page_ms_per_s", without_ms, text, "ms")
    for situation, each in _by_situation(comparisons):
        more_ms = _median_of_pairs(each, lambda a, b: b.cpu_ms_per_s - a.cpu_ms_per_s)
        ratio = _median_of_pairs(each, lambda a, b: b.cpu_ms_per_s / a.cpu_ms_per_s)
        name, text = situation.name.lower(), situation.value
        yield Measurement(AREA, f"{name}_more_ms_per_s", more_ms, f"{text}: more per s", "ms")
        yield Measurement(
            AREA, f"{name}_cpu_ratio", ratio, f"{text}: ratio", "", at_most=MAX_RATIOS[situation]
        )


def _measure_memory(comparisons: Sequence[Comparison]) -> Iterator[Measurement]:
    for situation, each in _by_situation(comparisons):
        more_mb = _median_of_pairs(each, lambda a, b: b.rss_mb - a.rss_mb)
        name, text = situation.name.lower(), f"{situation.value}: more memory"
        yield Measurement(AREA, f"{name}_more_mb", more_mb, text, "MB", at_most=MAX_MORE_MB)


def _measure_latency(comparisons: Sequence[Comparison]) -> Iterator[Measurement]:
    """Yield the latencies of all rounds together: a percentile needs many scores."""
    for situation, each in _by_situation(comparisons):
        without_ms = _p99([pair.without_page for pair in each])
        with_ms = _p99([pair.with_page for pair in each])
        name, text = situation.name.lower(), situation.value
        yield Measurement(AREA, f"{name}_p99_ms", with_ms, f"{text}: latency, p99", "ms")
        yield Measurement(
            area=AREA,
            name=f"{name}_p99_ratio",
            value=with_ms / without_ms,
            unit="",
            description=f"{text}: ratio to {without_ms:.3g} ms without the page",
            at_most=MAX_RATIOS[situation],
        )


def _by_situation(
    comparisons: Sequence[Comparison],
) -> Iterator[tuple[Situation, list[Comparison]]]:
    for situation in Situation:
        yield situation, [each for each in comparisons if each.situation is situation]


def _median_of_pairs(
    comparisons: Sequence[Comparison], function: Callable[[Reading, Reading], float]
) -> float:
    """Return the median of a function of the readings without and with the page."""
    return median(function(each.without_page, each.with_page) for each in comparisons)


def _p99(readings: Sequence[Reading]) -> float:
    return float(np.quantile([ms for each in readings for ms in each.latencies_ms], 0.99))
