"""Run a monitor with an outbox and one without at the same time, and compare them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.measurement import Measurement
from asd_monitor.bench.own_models import make_own_models, make_state
from asd_monitor.bench.subscriber import Subscriber

MACHINES, QUICK_MACHINES = 64, 2
INTERVALS = 6
MAX_CPU_RATIO = 1.1
"""A monitor whose scores take a tenth more time has a capacity that is a tenth lower."""


class Reading(NamedTuple):
    """What a monitor did in an interval."""

    cpu_ms: float
    """Processor time of all its processes per machine and second."""
    p50_ms: float
    p99_ms: float
    """From the last sample of each window to its message at a subscriber."""


class _Observed:
    """A running monitor and a subscriber to its scores."""

    def __init__(self, context: BenchContext, stack: ExitStack, *, has_outbox: bool) -> None:
        name = "outbox" if has_outbox else "memory"
        context = replace(context, base_topic=f"{context.base_topic}-{name}")
        folder = context.fixtures.folder / name
        folder.mkdir(exist_ok=True)
        self._count = QUICK_MACHINES if context.quick else MACHINES
        models = make_own_models(context.fixtures.model, folder / "own", 1)
        make_state(folder / "state", folder / "own")
        settings = context.many_machines(self._count, models * self._count)
        if not has_outbox:
            settings["mqtt"] |= {"outbox": None}
        broker = context.broker
        self._subscriber = stack.enter_context(
            Subscriber(broker.host, broker.port, context.base_topic)
        )
        self._daemon = stack.enter_context(Daemon(settings, folder))

    def begin(self) -> None:
        """Begin a reading."""
        self._subscriber.clear()
        self._before = self._daemon.usage()

    def end(self) -> Reading:
        """Return the reading since its beginning."""
        self._subscriber.await_score()
        usage, before = self._daemon.usage(), self._before
        latencies_ms = [1e3 * arrival.latency_s for arrival in self._subscriber.arrivals()]
        cpu_ms = 1e3 * (usage.cpu_s - before.cpu_s) / (usage.at_s - before.at_s) / self._count
        p50_ms, p99_ms = np.quantile(latencies_ms, [0.5, 0.99]).tolist()
        return Reading(cpu_ms, p50_ms, p99_ms)


def compare(context: BenchContext, area: str) -> Iterator[Measurement]:
    """Yield processor time and latency with an outbox, and how they differ from those without.

    Both monitors are observed at the same time, so that other load concerns both.
    """
    count = QUICK_MACHINES if context.quick else MACHINES
    context.report(f"{count} machines with an outbox, and {count} without, at the same time")
    readings: list[tuple[Reading, Reading]] = []
    with ExitStack() as stack:
        observed = [_Observed(context, stack, has_outbox=has) for has in (True, False)]
        time.sleep(context.choose_duration_s(10.0, 2.0))
        for _ in range(1 if context.quick else INTERVALS):
            for each in observed:
                each.begin()
            time.sleep(context.choose_duration_s(15.0, 3.0))
            with_outbox, without = (each.end() for each in observed)
            readings.append((with_outbox, without))
    most = None if context.quick else MAX_CPU_RATIO
    for name, text, unit, at_most in (
        ("cpu_ms", "processor time per machine and second", "ms", most),
        ("p50_ms", "last sample to message, p50", "ms", None),
        ("p99_ms", "last sample to message, p99", "ms", None),
    ):
        pairs = [(getattr(a, name), getattr(b, name)) for a, b in readings]
        value, ratio = median(a for a, _ in pairs), median(a / b for a, b in pairs)
        label = f"{count} machines, {text}"
        yield Measurement(area, f"daemon_{name}", value, label, unit)
        yield Measurement(
            area, f"daemon_{name}_ratio", ratio, f"{label}, ratio to none", "", at_most=at_most
        )
