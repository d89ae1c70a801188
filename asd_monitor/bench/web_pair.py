"""Run a monitor with the web page and one without at the same time, and compare them."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.subscriber import Subscriber
from asd_monitor.bench.viewers import Viewers

VIEWER_COUNT = 5
MACHINE = "pump"
SETTLE_S, QUICK_SETTLE_S = 4.0, 2.0
MEASURED_S, QUICK_MEASURED_S = 12.0, 3.0


class Situation(Enum):
    """What views the page of the monitor that has one; the value is a description."""

    NO_VIEWER = "page without a viewer"
    VIEWERS = f"{VIEWER_COUNT} viewers"
    SPECTROGRAMS = f"{VIEWER_COUNT} viewers of the spectrogram"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one monitor used in a part of the run."""

    cpu_ms_per_s: float
    """Processor time of all its processes per second of audio."""
    rss_mb: float
    latencies_ms: list[float]
    """From the last sample of each window to its message at a subscriber."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two monitors at the same time."""

    situation: Situation
    without_page: Reading
    with_page: Reading


class _Observed:
    """A running monitor and a subscriber to its scores."""

    def __init__(
        self, context: BenchContext, name: str, model: Path, stack: ExitStack, *, web: bool
    ) -> None:
        context = replace(context, base_topic=f"{context.base_topic}-{name}")
        folder = context.fixtures.folder / name
        folder.mkdir(exist_ok=True)
        broker = context.broker
        self._subscriber = stack.enter_context(
            Subscriber(broker.host, broker.port, context.base_topic)
        )
        self.daemon = stack.enter_context(Daemon(context.one_machine(model), folder, web=web))

    def begin(self) -> None:
        """Begin a reading."""
        self._subscriber.clear()
        self._before = self.daemon.usage()

    def end(self) -> Reading:
        """Return the reading since its beginning."""
        self._subscriber.await_score()
        usage, before = self.daemon.usage(), self._before
        latencies_ms = [1e3 * arrival.latency_s for arrival in self._subscriber.arrivals()]
        cpu_ms_per_s = 1e3 * (usage.cpu_s - before.cpu_s) / (usage.at_s - before.at_s)
        return Reading(cpu_ms_per_s, usage.rss_bytes / 1e6, latencies_ms)


def compare(context: BenchContext, model: Path, rounds: int) -> list[Comparison]:
    """Return the readings of all situations, in several rounds with new processes.

    The monitors are observed at the same time, so that other load of the computer concerns both.
    Which one starts first, and the order of the situations, alternate.
    """
    comparisons = []
    for number in range(rounds):
        context.report(f"monitors with and without the page, round {number + 1} of {rounds}")
        comparisons += _run_round(context, model, number)
    return comparisons


def _run_round(context: BenchContext, model: Path, number: int) -> list[Comparison]:
    comparisons = []
    with ExitStack() as stack:
        observed = {
            has_page: _Observed(
                context, "page" if has_page else "no-page", model, stack, web=has_page
            )
            for has_page in (number % 2 == 0, number % 2 == 1)
        }
        situations = list(Situation)
        for situation in situations[number % 3 :] + situations[: number % 3]:
            with ExitStack() as viewing:
                viewers = _start_viewers(observed[True].daemon, situation, viewing)
                time.sleep(context.choose_duration_s(SETTLE_S, QUICK_SETTLE_S))
                for each in observed.values():
                    each.begin()
                time.sleep(context.choose_duration_s(MEASURED_S, QUICK_MEASURED_S))
                readings = {has_page: each.end() for has_page, each in observed.items()}
                viewers.check()
            comparisons.append(Comparison(situation, readings[False], readings[True]))
    return comparisons


def _start_viewers(daemon: Daemon, situation: Situation, stack: ExitStack) -> Viewers:
    count = 0 if situation is Situation.NO_VIEWER else VIEWER_COUNT
    with_spectrogram = situation is Situation.SPECTROGRAMS
    return stack.enter_context(
        Viewers(daemon.web_port, MACHINE, count, with_spectrogram=with_spectrogram)
    )
