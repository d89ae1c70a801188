"""Hand records to the sinks, which may be exchanged while the monitor runs."""

import logging
from collections import deque
from collections.abc import Sequence

from asd_monitor.history.cases import CaseTracker
from asd_monitor.records import MachineRemoved, Record, Transition
from asd_monitor.runtime.neighbours import Neighbours
from asd_monitor.runtime.record_holder import RecordHolder
from asd_monitor.sinks import Sink
from asd_monitor.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


class RecordDistribution:
    """Hand records to every sink, in one thread; :meth:`post` may be called from any.

    Parameters
    ----------
    metrics
        Counts errors inside sinks.
    cases
        Gives transitions the ids of their events.
    """

    def __init__(self, metrics: Metrics, cases: CaseTracker) -> None:
        self._metrics = metrics
        self._cases = cases
        self._neighbours = Neighbours()
        self._sinks: list[Sink] = []
        self._latest: dict[str, Transition] = {}
        self._posted: deque[Record] = deque()
        self._removed: set[str] = set()

    @property
    def sinks(self) -> Sequence[Sink]:
        """The sinks, in the order in which they receive records."""
        return self._sinks

    def add(self, sink: Sink) -> None:
        """Add a sink before the monitor starts."""
        self._sinks.append(sink)

    def emit(self, record: Record) -> None:
        """Hand a record to every sink; an error of a sink is counted and stops nothing.

        Transitions get the id of their event first, and the names of machines with a simultaneous
        event.
        """
        if isinstance(record, Transition):
            record = self._neighbours.annotate(self._cases.assign(record))
            self._latest[record.machine] = record
        for sink in self._sinks:
            self._emit_to(sink, record)

    def _emit_to(self, sink: Sink, record: Record) -> None:
        try:
            sink.emit(record)
        except Exception:  # a boundary: whatever a sink does wrong must not stop scoring
            name = type(sink).__name__
            self._metrics.sink_errors.labels(name).inc()
            logger.exception("%s failed to take a record", name)

    def post(self, record: Record) -> None:
        """Keep a record until :meth:`emit_posted`; may be called from any thread."""
        self._posted.append(record)

    @property
    def has_posted(self) -> bool:
        """Whether :meth:`emit_posted` has something to do."""
        return bool(self._posted)

    def emit_posted(self) -> None:
        """Emit the records that were posted, except those of removed machines."""
        while self._posted:
            record = self._posted.popleft()
            if record.machine not in self._removed:
                self.emit(record)

    def exchange(self, old: Sink | None, new: Sink | None) -> None:
        """Replace a sink by another; None: remove the old one, or add the new one."""
        sinks = list(self._sinks)  # a new list, because the old one may be being iterated over
        position = sinks.index(old) if old in sinks else len(sinks)
        sinks[position : position + 1] = [] if new is None else [new]
        if isinstance(old, RecordHolder) and new is not None:
            for record in old.records:
                self._emit_to(new, record)
        elif new is not None and not (isinstance(new, RecordHolder) and not new.with_states):
            for record in self._latest.values():
                self._emit_to(new, record)
        self._sinks = sinks

    def begin(self, machine: str) -> None:
        """Accept the records of a machine, which may have been removed before."""
        self._removed.discard(machine)

    def remove(self, machine: str) -> None:
        """Inform the sinks that a machine was removed, and ignore what is posted about it."""
        self._removed.add(machine)
        self._latest.pop(machine, None)
        for sink in self._sinks:
            self._emit_to(sink, MachineRemoved(machine))
        self._metrics.remove_machine(machine)
