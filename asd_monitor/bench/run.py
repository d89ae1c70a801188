"""Measure the chosen areas, one after the other."""

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from asd_monitor import __version__
from asd_monitor.bench import (
    capacity,
    cpu,
    history,
    host,
    latency,
    memory,
    outbox,
    recordings,
    start,
    versions,
    web,
    worker_counts,
)
from asd_monitor.bench.context import BenchContext, Broker
from asd_monitor.bench.fixtures import SAMPLE_RATE_HZ, prepare
from asd_monitor.bench.measurement import Measurement
from asd_monitor.errors import ConfigError

AREAS: dict[str, Callable[[BenchContext], Iterator[Measurement]]] = {
    latency.AREA: latency.measure,
    cpu.AREA: cpu.measure,
    capacity.AREA: capacity.measure,
    memory.AREA: memory.measure,
    recordings.AREA: recordings.measure,
    start.AREA: start.measure,
    history.AREA: history.measure,
    outbox.AREA: outbox.measure,
    web.AREA: web.measure,
}


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What to measure, and with what."""

    areas: Sequence[str] = ()
    """Empty: all."""
    quick: bool = False
    microphone: str | None = None
    model: Path | None = None
    broker: Broker | None = None
    """None: a broker inside this process."""
    sample_rate_hz: int = SAMPLE_RATE_HZ
    """Of the sound and of the model that is fitted to it."""
    checkout: Path | None = None
    """A folder with another version of the program to compare the capacity with."""
    workers: int | None = None
    """Number of threads that score to compare with one, for the capacity."""


def run_bench(options: BenchOptions, report: Callable[[str], None]) -> dict[str, Any]:
    """Measure, and return the results as a JSON document.

    Parameters
    ----------
    options
        What to measure, and with what.
    report
        Called with a description of each measurement as it begins.

    Raises
    ------
    ConfigError
        If an area is not known.
    AsdMonitorError
        If the monitor cannot be run as required.
    """
    unknown = [name for name in options.areas if name not in AREAS]
    if unknown:
        msg = f"bench {unknown[0]!r}: expected any of {', '.join(AREAS)}"
        raise ConfigError(msg)
    measurements: list[Measurement] = []
    loads: dict[str, float] = {}
    with ExitStack() as stack:
        stack.enter_context(_exit_on_sigterm())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="asd-monitor-bench-"))
        broker = options.broker or _start_embedded_broker(stack)
        report("generating a sound, and fitting the quick-start model to it")
        fixtures = prepare(
            Path(folder),
            options.model,
            quick=options.quick,
            sample_rate_hz=options.sample_rate_hz,
        )
        context = BenchContext(fixtures, broker, options.quick, options.microphone, report)
        for area in options.areas or AREAS:
            if area == capacity.AREA and options.checkout is not None:
                measurements += versions.measure(context, options.checkout)
            elif area == capacity.AREA and options.workers is not None:
                measurements += worker_counts.measure(context, options.workers)
            else:
                measurements += AREAS[area](context)
            loads[area] = host.load_average()
    return _to_dict(options, measurements, loads)


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Raise SystemExit on SIGTERM, so that context managers stop what was started."""

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    previous = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _start_embedded_broker(stack: ExitStack) -> Broker:
    from asd_monitor.demo.broker import EmbeddedBroker

    broker = stack.enter_context(EmbeddedBroker())
    return Broker(broker.host, broker.port)


def _to_dict(
    options: BenchOptions, measurements: Sequence[Measurement], loads: dict[str, float]
) -> dict[str, Any]:
    return {
        "schema": 1,
        "version": __version__,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": " ".join(["asd-monitor", *sys.argv[1:]]),
        "quick": options.quick,
        "sample_rate_hz": options.sample_rate_hz,
        "computer": host.describe(),
        "load": loads,
        "measurements": [
            {
                "area": measurement.area,
                "name": measurement.name,
                "value": measurement.value,
                "unit": measurement.unit,
                "description": measurement.description,
                "at_most": measurement.at_most,
                "at_least": measurement.at_least,
                "met": measurement.met,
            }
            for measurement in measurements
        ],
    }
