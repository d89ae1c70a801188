"""Measure what the outbox adds to a score: time until it may be sent, processor time, and space."""

import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.history import example_window
from asd_monitor.bench.measurement import Measurement
from asd_monitor.bench.outbox_latency import measure_latency
from asd_monitor.bench.outbox_pair import compare
from asd_monitor.bench.thread_times import ThreadTimes, read_thread_times
from asd_monitor.outbox.outbox import Outbox
from asd_monitor.outbox.report import DropReason
from asd_monitor.outbox.rows import Draft
from asd_monitor.outbox.settings import OutboxSettings
from asd_monitor.outbox.worker import OutboxWorker
from asd_monitor.records import Record, ScoredWindow
from asd_monitor.sinks.mqtt.messages import is_event, to_draft
from asd_monitor.sinks.mqtt.topics import Topics

AREA = "outbox"
MACHINES = 64
MAX_P50_MS, MAX_P99_MS = 0.5, 2.0


class _Receiver:
    """Takes what is handed over, as a broker that acknowledges at once; counts no drops."""

    def __init__(self, topics: Topics) -> None:
        self.added_ms: list[float] = []
        """From queueing a score until it may be sent, without its encoding."""
        self.cpu_ms: list[float] = []
        """Processor time of the outbox's thread in this time."""
        self.queued_ms: list[float] = []
        """Time in which this thread waited for a processor."""
        self.put_at_s: deque[float] = deque()
        self.outbox: Outbox | None = None
        self._topics = topics
        self._encoding_ms = 0.0
        self._since: ThreadTimes | None = None
        self._idle_since: ThreadTimes | None = None

    def encode(self, record: Record) -> Draft:
        """Return the message of a record; the thread has begun to work on it."""
        before = read_thread_times()
        self._since = self._since or before
        draft = to_draft(record, self._topics, time.time())
        self._encoding_ms += 1e3 * (read_thread_times().cpu_s - before.cpu_s)
        return draft

    def take(self) -> None:
        """Take everything, and note the times."""
        assert self.outbox is not None  # noqa: S101 - set before the first message
        now, since = read_thread_times(), self._since
        while (found := self.outbox.next(max_replays=1)) is not None:
            assert since is not None  # noqa: S101 - scores are encoded before
            self.outbox.acknowledge(found[0])
            idle_since = self._idle_since or since
            added_ms = 1e3 * (now.wall_s - self.put_at_s.popleft()) - self._encoding_ms
            self.added_ms.append(added_ms)
            self.cpu_ms.append(1e3 * (now.cpu_s - since.cpu_s) - self._encoding_ms)
            queued_ms = 1e3 * (now.queued_s - idle_since.queued_s)
            self.queued_ms.append(min(queued_ms, added_ms))
        self._since, self._encoding_ms = None, 0.0
        self._idle_since = read_thread_times()

    def dropped(self, reason: DropReason, scores: int, events: int) -> None:
        """Ignore drops: there are none."""

    def set_aside(self) -> None:
        """Ignore damage: there is none."""


def measure(context: BenchContext) -> Iterator[Measurement]:
    """Yield the times and the processor time of a score a second of 64 machines, one by one."""
    duration_s = context.choose_duration_s(60.0, 2.0)
    context.report(f"{MACHINES} machines, a score per second each, through the outbox")
    with tempfile.TemporaryDirectory(prefix="asd-monitor-bench-outbox-") as folder:
        yield from _measure_scores(Path(folder) / "outbox.db", duration_s)
        context.report("the same over MQTT, with and without an outbox in turns")
        path = Path(folder) / "second" / "outbox.db"
        yield from measure_latency(context, AREA, path, MACHINES, _window)
    yield from compare(context, AREA)


def _measure_scores(path: Path, duration_s: float) -> Iterator[Measurement]:
    receiver = _Receiver(Topics("asd", "bench"))
    outbox = receiver.outbox = Outbox(path, OutboxSettings(), "bench", receiver)
    worker = OutboxWorker(
        outbox,
        receiver.encode,
        is_event,
        receiver.take,
        lambda _record: None,
        lambda _scores, _events: None,
    )
    worker.start()
    outbox.connect()
    worker.wake()
    while worker.has_queued:
        time.sleep(0.01)
    called_s: list[float] = []
    caller_queued_ms: list[float] = []
    cpu_s = 0.0
    count = round(duration_s * MACHINES)
    started_s = time.perf_counter()
    for number in range(count):
        window = _window(number)
        before_cpu_s = time.process_time()
        before = read_thread_times()
        receiver.put_at_s.append(before.wall_s)
        worker.put(window)
        after = read_thread_times()
        called_s.append(after.wall_s - before.wall_s)
        caller_queued_ms.append(1e3 * (after.queued_s - before.queued_s))
        time.sleep(max(0.0, started_s + (number + 1) / MACHINES - time.perf_counter()))
        cpu_s += time.process_time() - before_cpu_s
    worker.close()
    yield from _describe(receiver, caller_queued_ms, called_s, cpu_s / duration_s)
    yield Measurement(
        AREA, "score_bytes", path.stat().st_size / count, "a score in the database", "B"
    )


def _describe(
    receiver: _Receiver,
    caller_queued_ms: list[float],
    called_s: list[float],
    cpu_fraction: float,
) -> Iterator[Measurement]:
    added_ms = np.array(receiver.added_ms)
    queued_ms = np.minimum(added_ms, np.add(receiver.queued_ms, caller_queued_ms[: len(added_ms)]))
    text = "queueing and committing a score before it is sent"
    by_itself = f"{text}, without waiting for a processor"
    processor = f"{text}, processor time of the outbox's thread"
    for name, label, times_ms in (
        ("added", text, added_ms),
        ("added_by_itself", by_itself, added_ms - queued_ms),
        ("added_cpu", processor, np.array(receiver.cpu_ms)),
    ):
        for quantile, at_most in ((50, MAX_P50_MS), (99, MAX_P99_MS)):
            value = float(np.percentile(times_ms, quantile))
            yield Measurement(
                AREA,
                f"{name}_p{quantile}_ms",
                value,
                f"{label}, p{quantile}",
                "ms",
                at_most=at_most,
            )
    called_us = 1e6 * float(np.quantile(called_s, 0.99))
    yield Measurement(
        AREA, "queue_p99_us", called_us, "of which on the inference thread, p99", "µs"
    )
    cpu_percent = 100 * cpu_fraction
    text = f"processor time of {MACHINES} scores per second, with acknowledgements, of one core"
    yield Measurement(AREA, "cpu_percent", cpu_percent, text, "%")


def _window(number: int) -> ScoredWindow:
    window = example_window(f"pump-{number % MACHINES:02}", time.time())
    score = replace(window.score, seq=number, value=1.0 + number % 97 / 7, p_value=1 / (number + 2))
    return ScoredWindow(score, window.decision)
