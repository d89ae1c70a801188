"""Compare the capacity of two versions of the program, in turns on the same computer."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from asd_monitor.bench.capacity import AREA, FIRST_MICROPHONES, QUICK_MICROPHONES, Trial, run_trial
from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.measurement import Measurement

ROUNDS = 3
MAX_READY_RATIO, MAX_MEMORY_RATIO, MAX_CPU_RATIO = 1 / 3, 0.4, 0.75


def measure(context: BenchContext, checkout: Path) -> Iterator[Measurement]:
    """Run 64 microphones with a model each on both versions in turns; medians of the rounds."""
    count = QUICK_MICROPHONES if context.quick else FIRST_MICROPHONES
    pairs: list[dict[bool, Trial]] = []
    for number in range(1 if context.quick else ROUNDS):
        order = (True, False) if number % 2 == 0 else (False, True)
        pairs.append(
            {
                is_this: run_trial(context, count, "own", None if is_this else checkout)
                for is_this in order
            }
        )
    text = f"{count} microphones with a model each"
    for name, unit, description, most in (
        ("ready_s", "s", "until READY", MAX_READY_RATIO),
        ("ready_cpu_s", "s", "processor time until READY", None),
        ("rss_mb", "MB", "memory", MAX_MEMORY_RATIO),
        ("processors", "", "busy processors", MAX_CPU_RATIO),
    ):
        values = [{is_this: _value(pair[is_this], name) for is_this in pair} for pair in pairs]
        for is_this, version in ((True, "this version"), (False, "the other one")):
            value = median(pair[is_this] for pair in values)
            label = f"{text}, {description}: {version}"
            prefix = "this" if is_this else "other"
            yield Measurement(AREA, f"{prefix}_{name}", value, label, unit)
        ratio = median(pair[True] / pair[False] for pair in values)
        label = f"{text}, {description}: ratio"
        target = None if context.quick else most
        yield Measurement(AREA, f"{name}_ratio", ratio, label, "", at_most=target)
    late = max(pair[True].late_windows for pair in pairs)
    label = f"{text}, late windows of this version"
    yield Measurement(AREA, "this_late_windows", late, label, "", at_most=0)


def _value(trial: Trial, name: str) -> float:
    return trial.rss_bytes / 1e6 if name == "rss_mb" else float(getattr(trial, name))
