"""Measure what the outbox adds to a score: time until it may be sent, processor time, and space."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.history import example_window
from asd_monitor.bench.measurement import Measurement
from asd_monitor.bench.outbox_latency import measure_latency
from asd_monitor.bench.outbox_pair import compare
from asd_monitor.outbox.outbox import Outbox
from asd_monitor.outbox.report import DropReason
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

    def __init__(self) -> None:
        self.handed_at_s: list[float] = []
        self.outbox: Outbox | None = None

    def take(self) -> None:
        """Take everything, and note the time."""
        assert self.outbox is not None  # noqa: S101 - set before the first message
        while (found := self.outbox.next(max_replays=1)) is not None:
            self.handed_at_s.append(time.perf_counter())
            self.outbox.acknowledge(found[0])

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
    receiver, topics = _Receiver(), Topics("asd", "bench")
    outbox = receiver.outbox = Outbox(path, OutboxSettings(), "bench", receiver)

    def encode_seconds(record: Record) -> float:
        before_s = time.perf_counter()
        to_draft(record, topics, time.time())
        return time.perf_counter() - before_s

    worker = OutboxWorker(
        outbox,
        lambda record: to_draft(record, topics, time.time()),
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
    put_s, called_s, encoding_s = [], [], []
    cpu_s = 0.0
    count = round(duration_s * MACHINES)
    started_s = time.perf_counter()
    for number in range(count):
        window = _window(number)
        encoding_s.append(encode_seconds(window))
        before_cpu_s = time.process_time()
        before_s = time.perf_counter()
        worker.put(window)
        put_s.append(before_s)
        called_s.append(time.perf_counter() - before_s)
        time.sleep(max(0.0, started_s + (number + 1) / MACHINES - time.perf_counter()))
        cpu_s += time.process_time() - before_cpu_s
    worker.close()
    added_ms = 1e3 * (np.array(receiver.handed_at_s[:count]) - np.array(put_s))
    added_ms -= 1e3 * float(np.median(encoding_s))  # a score is encoded without an outbox as well
    yield from _describe(added_ms, called_s, cpu_s / duration_s)
    yield Measurement(
        AREA, "score_bytes", path.stat().st_size / count, "a score in the database", "B"
    )


def _describe(
    added_ms: np.ndarray, called_s: list[float], cpu_fraction: float
) -> Iterator[Measurement]:
    p50_ms, p99_ms = float(np.median(added_ms)), float(np.quantile(added_ms, 0.99))
    text = "queueing and committing a score before it is sent"
    yield Measurement(AREA, "added_p50_ms", p50_ms, f"{text}, p50", "ms", at_most=MAX_P50_MS)
    yield Measurement(AREA, "added_p99_ms", p99_ms, f"{text}, p99", "ms", at_most=MAX_P99_MS)
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
