"""Compare scoring with several threads and with one, in turns on the same computer."""

from collections.abc import Iterator
from statistics import median

from asd_monitor.bench.capacity import (
    AREA,
    FIRST_MICROPHONES,
    OWN_MICROPHONES,
    QUICK_MICROPHONES,
    Trial,
    run_trial,
)
from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.measurement import Measurement

ROUNDS = 3
COUNTS = (1, FIRST_MICROPHONES, OWN_MICROPHONES)
_MEASURED = (
    ("processors", "", "busy processors"),
    ("latency_ms", "ms", "last sample to score, mean"),
    ("late_windows", "", "late windows"),
    ("lost_samples", "", "lost samples"),
)


def measure(context: BenchContext, workers: int) -> Iterator[Measurement]:
    """Run microphones with a model each, with both numbers of threads; medians of the rounds."""
    for microphones in (1, QUICK_MICROPHONES) if context.quick else COUNTS:
        trials: dict[int, list[Trial]] = {1: [], workers: []}
        for number in range(1 if context.quick else ROUNDS):
            for threads in list(trials)[:: 1 if number % 2 == 0 else -1]:
                trials[threads].append(run_trial(context, microphones, "own", workers=threads))
        yield from _compare(microphones, trials)


def _compare(microphones: int, trials: dict[int, list[Trial]]) -> Iterator[Measurement]:
    machines = f"{microphones} microphone{'s with a model each' if microphones > 1 else ''}"
    for name, unit, description in _MEASURED:
        for workers, found in trials.items():
            value = median(float(getattr(trial, name)) for trial in found)
            text = f"{machines}, {description}: {workers} thread{'s' if workers > 1 else ''}"
            yield Measurement(AREA, f"own_{microphones}_{name}_{workers}", value, text, unit)
