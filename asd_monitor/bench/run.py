"""Measure the areas that were chosen, one after the other."""

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
from asd_monitor.bench import capacity, cpu, host, latency, memory, start
from asd_monitor.bench.context import Broker, Setting
from asd_monitor.bench.fixtures import prepare
from asd_monitor.bench.measurement import Figure
from asd_monitor.errors import ConfigError

AREAS: dict[str, Callable[[Setting], Iterator[Figure]]] = {
    latency.AREA: latency.measure,
    cpu.AREA: cpu.measure,
    capacity.AREA: capacity.measure,
    memory.AREA: memory.measure,
    start.AREA: start.measure,
}

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    areas: Sequence[str] = ()
    """Empty: all."""
    quick: bool = False
    microphone: str | None = None
    model: Path | None = None
    broker: Broker | None = None
    """None: one inside this process."""


def run_bench(options: Options, tell: Tell) -> dict[str, Any]:
    """Measure, and return the results as one document.

    Raises
    ------
    ConfigError
        If an area is not known.
    AsdMonitorError
        If the monitor cannot be run as it is to be measured.
    """
    unknown = [name for name in options.areas if name not in AREAS]
    if unknown:
        msg = f"bench {unknown[0]!r}: expected any of {', '.join(AREAS)}"
        raise ConfigError(msg)
    figures: list[Figure] = []
    loads: dict[str, float] = {}
    with ExitStack() as stack:
        stack.enter_context(_sigterm_unwinds())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="asd-monitor-bench-"))
        broker = options.broker or _embedded(stack)
        tell("a sound is made, and the quick-start model is fitted on it")
        work = prepare(Path(folder), options.model, quick=options.quick)
        setting = Setting(work, broker, options.quick, options.microphone, tell)
        for area in options.areas or AREAS:
            figures += AREAS[area](setting)
            loads[area] = host.load()
    return _document(options, figures, loads)


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM stop what was started, as Ctrl-C does."""

    def end(signum: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _embedded(stack: ExitStack) -> Broker:
    from asd_monitor.demo.broker import EmbeddedBroker

    broker = stack.enter_context(EmbeddedBroker())
    return Broker(broker.host, broker.port)


def _document(
    options: Options, figures: Sequence[Figure], loads: dict[str, float]
) -> dict[str, Any]:
    return {
        "schema": 1,
        "version": __version__,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": " ".join(["asd-monitor", *sys.argv[1:]]),
        "quick": options.quick,
        "computer": host.describe(),
        "load": loads,
        "figures": [
            {
                "area": each.area,
                "name": each.name,
                "value": each.value,
                "unit": each.unit,
                "told": each.told,
                "at_most": each.at_most,
                "at_least": each.at_least,
                "met": each.met,
            }
            for each in figures
        ],
    }
