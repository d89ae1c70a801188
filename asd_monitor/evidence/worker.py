"""Follow machines, and make the evidence of their events in a separate thread.

The inference thread only notes scores here, and never waits.
"""

import logging
import threading
from collections import deque
from dataclasses import dataclass, field

from asd_monitor.evidence.maker import DELETION_INTERVAL_S, EvidenceMaker
from asd_monitor.evidence.ring import Cut, SoundRing
from asd_monitor.evidence.settings import Keep
from asd_monitor.evidence.watch import Request, Watch
from asd_monitor.records import (
    MachineRemoved,
    Record,
    ScoredWindow,
    SourceHealth,
    SourceState,
    Transition,
)
from asd_monitor.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

MAX_QUEUED = 256
"""Requests that wait; each is a few kilobytes, because live sound stays in the ring."""
MAX_QUEUED_CUTS = 16
"""Clips of recordings that wait: these play faster than the ring could keep their sound."""
CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class _Job:
    request: Request
    cut: Cut | None
    """The sound, if it was copied when the request was made."""


@dataclass
class _Queue:
    """Requests for the thread, bounded, and rings to be freed after the requests before them."""

    jobs: deque[_Job | SoundRing] = field(default_factory=deque)
    cuts: int = 0


class EvidenceWorker:
    """A sink that makes the evidence of events.

    Parameters
    ----------
    maker
        Makes the evidence, in the thread of this sink.
    metrics
        Counts requests that are dropped.
    """

    def __init__(self, maker: EvidenceMaker, metrics: Metrics) -> None:
        self._maker = maker
        self._settings, self._machines = maker.settings, maker.machines
        self._metrics = metrics
        self._watches: dict[str, Watch] = {}
        self._queue = _Queue()
        self._condition = threading.Condition()  # guards the queue and _closing
        self._closing = False
        self._thread: threading.Thread | None = None
        queue = self._queue.jobs
        metrics.queue_depth.labels("evidence").set_function(lambda: len(queue))

    def open(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Follow a machine; returns at once."""
        watch = self._watch(record.machine)
        if watch is None or self._settings.keep is Keep.NONE:
            return
        ring = self._machines[record.machine].ring
        requests: list[Request] = []
        match record:
            case ScoredWindow():
                if record.score.model is not None:
                    watch.add(record, record.score.model.window_samples)
                requests = watch.due(ring.end)
            case Transition():
                requests = watch.change(record, ring.end)
            case SourceHealth() if record.state is not SourceState.RUNNING:
                requests = watch.flush(ring.end)
            case MachineRemoved():
                del self._watches[record.machine]
                self._release(ring)
        for request in requests:
            self._put(request)

    def _watch(self, machine: str) -> Watch | None:
        """Return what follows a machine; None if its sound is not kept."""
        watch = self._watches.get(machine)
        known = self._machines.get(machine)
        rate_hz = known.ring.sample_rate_hz if known is not None else 0
        if known is not None and (watch is None or watch.sample_rate_hz != rate_hz):
            watch = self._watches[machine] = Watch(machine, self._settings, rate_hz)
        return watch

    def close(self) -> None:
        """Make what has been requested, within a few seconds; may be called twice."""
        watches = {} if self._settings.keep is Keep.NONE else self._watches
        for name, watch in watches.items():
            for request in watch.flush(self._machines[name].ring.end):
                self._put(request)
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _put(self, request: Request) -> None:
        machine, cut = self._machines[request.machine], None
        with self._condition:
            full = len(self._queue.jobs) >= MAX_QUEUED or self._queue.cuts >= MAX_QUEUED_CUTS
            if self._closing or full:
                self._metrics.dropped.labels("evidence").inc()
                return
            if not machine.is_live:
                cut = machine.ring.cut(request.start, request.end)
                self._queue.cuts += 1
            self._queue.jobs.append(_Job(request, cut))
            self._condition.notify()

    def _release(self, ring: SoundRing) -> None:
        """Free the memory of a ring once the evidence that was requested from it is made."""
        with self._condition:
            self._queue.jobs.append(ring)
            self._condition.notify()

    def _run(self) -> None:
        self._maker.sweep()
        while True:
            self._maker.delete_old()
            with self._condition:
                self._condition.wait_for(
                    lambda: bool(self._queue.jobs) or self._closing, DELETION_INTERVAL_S
                )
                if self._closing and not self._queue.jobs:
                    return
                if not self._queue.jobs:
                    continue
                job = self._queue.jobs.popleft()
                if isinstance(job, SoundRing):
                    job.release()
                    continue
                self._queue.cuts -= job.cut is not None
            try:
                with self._metrics.evidence.duration.time():
                    self._maker.make(job.request, self._cut(job))
            except Exception:  # the thread's top: evidence must never stop the monitor
                logger.exception("%s: the evidence failed", job.request.event_id)
                self._maker.report_failure(job.request, "an internal error, see the log")

    def _cut(self, job: _Job) -> Cut:
        if job.cut is not None:
            return job.cut
        request = job.request
        return self._machines[request.machine].ring.cut(request.start, request.end)
