"""Run the monitor: start its threads, score the audio of its sources, and stop in order.

========== ================================================================================
thread      task
========== ================================================================================
caller      supervises, feeds the watchdog, stops
inference   reads sources, assembles windows, scores, decides, hands records to the sinks
sources     their own: each source captures in its own thread or process
sinks       their own: each network or disk sink drains its own bounded queue
learning    one per machine in commissioning: writes recordings, fits the model
========== ================================================================================
"""

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asd_monitor.errors import AsdMonitorError
from asd_monitor.history.cases import CaseTracker
from asd_monitor.records import (
    MachineRemoved,
    Record,
    SourceState,
    State,
    Transition,
    Window,
    WindowScore,
)
from asd_monitor.runtime.commissioning import Commissioning
from asd_monitor.runtime.neighbours import Neighbours
from asd_monitor.runtime.pipeline import Adjustment, Pipeline
from asd_monitor.runtime.record_holder import RecordHolder
from asd_monitor.runtime.shared_sound import SharedSound
from asd_monitor.sinks import Sink
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.25
"""Sources are checked at most this often while audio arrives ..."""
IDLE_CHECK_INTERVAL_S = 1.5
"""... and at least this often while none does."""
HANG_TIMEOUT_S = 15.0
GROUP_SIZE = 16
"""Results of at most this many windows, of whatever models, are emitted together, ..."""
GROUP_S = 0.05
"""... unless a model is slow: results wait at most about this long for the next ones."""
STOP_TIMEOUT_S = 3.0
FLUSH_TIMEOUT_S = 1.0
ABORT_TIMEOUT_S = 10.0

_RUNNING = frozenset({State.NORMAL, State.WARNING, State.ALARM})
"""States in which a machine may be the origin of a sound in other microphones."""


class Monitor:
    """Run pipelines and sinks until stopped.

    Sinks and pipelines are added before :meth:`start`, or later by :meth:`insert_sink` and
    :meth:`join`. Those that are not needed any more leave by :meth:`remove_sink` and
    :meth:`remove`.

    Parameters
    ----------
    metrics
        Counts errors inside sinks.
    cases
        Gives transitions the ids of their events; by default one that knows no earlier events.
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        cases: CaseTracker | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._cases = cases or CaseTracker()
        self._neighbours = Neighbours()
        self._shared_sound = SharedSound()
        self._monotonic = monotonic
        self._sinks: list[Sink] = []
        self._latest: dict[str, Transition] = {}
        self._pipelines: dict[str, Pipeline] = {}
        self._posted: deque[Record] = deque()
        self._removed: set[str] = set()
        self._condition = threading.Condition()  # guards the next seven
        self._ready_machines: dict[str, None] = {}
        self._adjustments: list[tuple[str, Adjustment]] = []
        self._new_detectors: list[tuple[str, Detector]] = []
        self._new_pipelines: list[tuple[Pipeline, Commissioning | None]] = []
        self._departures: list[tuple[str, bool, threading.Event]] = []
        self._changes: list[tuple[str, Callable[[Pipeline], None], threading.Event]] = []
        self._exchanges: list[tuple[Sink | None, Sink | None, threading.Event]] = []
        self._commissionings: dict[str, Commissioning] = {}
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._on_end: Callable[[], None] = lambda: None
        self._failure: Exception | None = None
        self._beat_at = monotonic()
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)

    @property
    def sinks(self) -> Sequence[Sink]:
        """The sinks, in the order in which they receive records."""
        return self._sinks

    @property
    def pipelines(self) -> Sequence[Pipeline]:
        """The pipelines, one per machine."""
        return list(self._pipelines.values())

    def detector(self, machine: str) -> "Detector | None":
        """Return the detector that a machine is scored with; None while it is learned."""
        pipeline = self._pipelines.get(machine)
        return None if pipeline is None else pipeline.detector

    def commissioning(self, machine: str) -> Commissioning | None:
        """Return the commissioning of a machine; None while it is not being learned."""
        pipeline = self._pipelines.get(machine)
        return None if pipeline is None else pipeline.commissioning

    def add_sink(self, sink: Sink) -> None:
        """Add a sink, which receives each record after the sinks added before it."""
        self._sinks.append(sink)

    def add_pipeline(self, pipeline: Pipeline) -> None:
        """Add a machine's pipeline; it needs :meth:`install` or :meth:`learn` as well."""
        self._pipelines[pipeline.machine] = pipeline

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
        """Emit a record soon, in the inference thread; may be called from any thread."""
        self._posted.append(record)
        with self._condition:
            self._condition.notify()

    def start(self) -> None:
        """Open sinks and sources and start scoring; raise SinkError for unusable settings."""
        for sink in self._sinks:
            sink.open()
        for name, pipeline in self._pipelines.items():
            pipeline.announce()
            if name in self._commissionings:
                pipeline.learn(self._commissionings[name])
        self._thread.start()
        for name, pipeline in self._pipelines.items():
            pipeline.source.open(self._make_notifier(name))

    def install(self, machine: str, detector: "Detector") -> None:
        """Score a machine with this detector from now on; may be called from any thread."""
        with self._condition:
            self._new_detectors.append((machine, detector))
            self._condition.notify()

    def adjust(self, machine: str, adjustment: Adjustment) -> None:
        """Judge a machine by other limits soon; may be called from any thread."""
        with self._condition:
            self._adjustments.append((machine, adjustment))
            self._condition.notify()

    def join(self, pipeline: Pipeline, commissioning: Commissioning | None) -> None:
        """Add a machine to the running monitor; may be called from any thread.

        Without a commissioning it needs :meth:`install` afterwards.
        """
        with self._condition:
            self._new_pipelines.append((pipeline, commissioning))
            self._condition.notify()

    def remove(self, machine: str) -> None:
        """Remove a machine from the running monitor; may be called from any thread.

        The sound that has arrived is still scored. Afterwards no record of the machine is emitted.
        """
        self._detach(machine, is_removed=True)

    def detach(self, machine: str) -> None:
        """Stop capturing and scoring a machine that :meth:`join` adds again with other settings.

        Sinks receive no record of it, so that its event and its alarm continue.
        """
        self._detach(machine, is_removed=False)

    def _detach(self, machine: str, *, is_removed: bool) -> None:
        pipeline = self._pipelines[machine]
        pipeline.is_leaving = True
        pipeline.source.close()
        done = threading.Event()
        with self._condition:
            self._departures.append((machine, is_removed, done))
            self._condition.notify()
        done.wait(STOP_TIMEOUT_S)
        commissioning = pipeline.commissioning
        if commissioning is not None:
            commissioning.close()
            commissioning.join(FLUSH_TIMEOUT_S)

    def change(self, machine: str, change: Callable[[Pipeline], None]) -> None:
        """Change the pipeline of a machine between two windows; may be called from any thread."""
        done = threading.Event()
        with self._condition:
            self._changes.append((machine, change, done))
            self._condition.notify()
        done.wait(STOP_TIMEOUT_S)

    def insert_sink(self, sink: Sink) -> None:
        """Add a sink to the running monitor; may be called from any thread.

        It first receives the present state of every machine.

        Raises
        ------
        SinkError
            If it cannot be opened.
        """
        sink.open()
        self._exchange_sinks(None, sink)

    def remove_sink(self, sink: Sink) -> None:
        """Remove a sink from the running monitor and close it; may be called from any thread."""
        self._exchange_sinks(sink, None)
        sink.close()

    def exchange_sink(self, old: Sink, new: Sink, *, with_states: bool) -> None:
        """Close a sink and open another instead, which receives the records meanwhile as well.

        Parameters
        ----------
        old
            A sink of the running monitor.
        new
            Takes its position.
        with_states
            Whether the new one first receives the present state of every machine.

        Raises
        ------
        SinkError
            If the new one cannot be opened. The records are kept, so this method can be called
            again with the sink that :attr:`sinks` has at the position.
        """
        holder = old if isinstance(old, RecordHolder) else RecordHolder(with_states=with_states)
        if holder is not old:
            self._exchange_sinks(old, holder)
            old.close()
        new.open()
        self._exchange_sinks(holder, new)

    def _exchange_sinks(self, old: Sink | None, new: Sink | None) -> None:
        """Let the inference thread exchange sinks, and wait until it has."""
        done = threading.Event()
        with self._condition:
            self._exchanges.append((old, new, done))
            self._condition.notify()
        done.wait(STOP_TIMEOUT_S)

    def learn(self, machine: str, commissioning: Commissioning) -> None:
        """Learn a machine before it is scored; to be called before :meth:`start`."""
        self._commissionings[machine] = commissioning

    def fail(self, error: Exception) -> None:
        """End the run with this error; may be called from any thread."""
        self._failure = error
        self._end()

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, from any thread, when all sources have ended or the run fails."""
        self._on_end = callback

    def _end(self) -> None:
        self._ended.set()
        self._on_end()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of all sources or a failure; return whether it has come.

        Raises
        ------
        AsdMonitorError
            If the run has failed.
        """
        ended = self._ended.wait(timeout_s)
        if self._failure is not None:
            if isinstance(self._failure, AsdMonitorError):
                raise self._failure
            msg = f"the inference thread failed: {self._failure!r}"
            raise RuntimeError(msg) from self._failure
        return ended

    def is_alive(self) -> bool:
        """Return whether the inference thread runs and every pipeline consumes its audio."""
        beats = self._monotonic() - self._beat_at < HANG_TIMEOUT_S
        return beats and all(pipeline.is_alive() for pipeline in self._pipelines.values())

    @property
    def is_stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Stop intake, score the audio already read, flush the sinks; each step has a timeout."""
        for pipeline in self._pipelines.values():
            pipeline.source.close()
        self._stopping.set()
        with self._condition:
            self._condition.notify()
        if self._thread.ident is not None:
            self._thread.join(STOP_TIMEOUT_S)
            if self._thread.is_alive():
                logger.warning("the inference thread did not stop within %.0f s", STOP_TIMEOUT_S)
        for pipeline in self._pipelines.values():  # again, for one that has joined meanwhile
            pipeline.source.close()
        with self._condition:
            exchanges, self._exchanges = self._exchanges, []
        for _, new, _ in exchanges:  # too late
            if new is not None:
                new.close()
        # Read once: another thread may end a commissioning meanwhile.
        candidates = [pipeline.commissioning for pipeline in self._pipelines.values()]
        commissionings = [candidate for candidate in candidates if candidate is not None]
        for commissioning in commissionings:
            commissioning.close()
        for commissioning in commissionings:
            commissioning.join(FLUSH_TIMEOUT_S)
        for sink in self._sinks:
            sink.close()
            self._emit_posted()  # by a sink that has completed its work
        # A fit may take longer to abort; the sinks have delivered their records by then.
        for commissioning in commissionings:
            commissioning.join(ABORT_TIMEOUT_S)

    def _make_notifier(self, machine: str) -> Callable[[], None]:
        def notify() -> None:
            with self._condition:
                self._ready_machines[machine] = None
                self._condition.notify()

        return notify

    def _work(self) -> None:
        try:
            checked_at, timeout_s = float("-inf"), CHECK_INTERVAL_S
            while not self._stopping.is_set():
                self._score_ready(self._wait_for_audio(timeout_s))
                self._emit_posted()
                self._beat_at = self._monotonic()
                timeout_s = checked_at + CHECK_INTERVAL_S - self._beat_at
                if timeout_s <= 0:
                    checked_at, timeout_s = self._beat_at, IDLE_CHECK_INTERVAL_S
                    self._check_sources()
            self._score_ready(list(self._pipelines))
            self._check_sources()
        except Exception as error:  # the thread's top: recorded, and stops the monitor
            logger.exception("the inference thread failed")
            self.fail(error)

    def _emit_posted(self) -> None:
        while self._posted:
            record = self._posted.popleft()
            if record.machine not in self._removed:
                self.emit(record)

    def _wait_for_audio(self, timeout_s: float) -> list[str]:
        """Return the machines whose source has audio or a new state.

        Machines and detectors that were added are started first.
        """
        with self._condition:
            news = (self._ready_machines, self._new_detectors, self._new_pipelines, self._changes,
                    self._exchanges, self._departures, self._adjustments, self._posted)  # fmt: skip
            if not (any(news) or self._stopping.is_set()):
                self._condition.wait(timeout_s)
            machines, detectors = list(self._ready_machines), self._new_detectors
            adjustments, self._adjustments = self._adjustments, []
            pipelines, self._new_pipelines = self._new_pipelines, []
            exchanges, self._exchanges = self._exchanges, []
            departures, self._departures = self._departures, []
            changes, self._changes = self._changes, []
            self._ready_machines, self._new_detectors = {}, []
        for old, new, done in exchanges:
            self._exchange(old, new)
            done.set()
        for pipeline, commissioning in pipelines:
            self._begin(pipeline, commissioning)
        for machine, detector in detectors:
            if machine in self._pipelines:  # else it was removed meanwhile
                self._pipelines[machine].set_detector(detector)
        for machine, adjustment in adjustments:
            if machine in self._pipelines:
                self._pipelines[machine].adjust(adjustment)
        for machine, change, done in changes:
            if machine in self._pipelines:
                change(self._pipelines[machine])
            done.set()
        for machine, is_removed, done in departures:
            self._end_machine(machine, is_removed=is_removed)
            done.set()
        return [machine for machine in machines if machine in self._pipelines]

    def _exchange(self, old: Sink | None, new: Sink | None) -> None:
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

    def _begin(self, pipeline: Pipeline, commissioning: Commissioning | None) -> None:
        """Start a machine that has joined the running monitor."""
        self._removed.discard(pipeline.machine)
        # Other threads iterate over the pipelines, so the dict is replaced, not changed.
        self._pipelines = {**self._pipelines, pipeline.machine: pipeline}
        pipeline.announce()
        if commissioning is not None:
            pipeline.learn(commissioning)
        pipeline.source.open(self._make_notifier(pipeline.machine))

    def _end_machine(self, machine: str, *, is_removed: bool) -> None:
        """Score the last sound of a machine, and forget it unless it joins again."""
        self._score_ready([machine])
        pipeline = self._pipelines[machine]
        self._pipelines = {
            name: other for name, other in self._pipelines.items() if name != machine
        }
        if not is_removed:
            return
        pipeline.end()
        self._removed.add(machine)
        self._latest.pop(machine, None)
        self._shared_sound.forget(machine)
        for sink in self._sinks:
            self._emit_to(sink, MachineRemoved(machine))
        self._metrics.remove_machine(machine)

    def _score_ready(self, machines: Sequence[str]) -> None:
        """Score the new windows of these machines; those of one model share batches.

        Results are emitted in groups, because a score wakes the threads of sinks, which then
        compete with the next model for the interpreter. Groups are small, so that the first results
        do not wait for the last windows.
        """
        windows_of: defaultdict[Detector, list[Window]] = defaultdict(list)
        for machine in machines:
            pipeline = self._pipelines[machine]
            windows = pipeline.collect()
            if windows and pipeline.detector is not None:
                windows_of[pipeline.detector] += windows
        group: list[tuple[Window, WindowScore]] = []
        began_s = self._monotonic()
        for detector, windows in windows_of.items():
            for first in range(0, len(windows), detector.max_batch):
                batch = windows[first : first + detector.max_batch]
                group += zip(batch, detector.score(batch), strict=True)
                if len(group) >= GROUP_SIZE or self._monotonic() - began_s >= GROUP_S:
                    self._accept(group)
                    group, began_s = [], self._monotonic()
        self._accept(group)

    def _accept(self, group: Sequence[tuple[Window, WindowScore]]) -> None:
        for window, score in group:
            self._pipelines[score.machine].accept(self._attribute(window, score))

    def _attribute(self, window: Window, score: WindowScore) -> WindowScore:
        """Compare an unusual sound with that in the microphones of the other machines."""
        detector = self._pipelines[window.machine].detector
        if len(self._pipelines) == 1 or detector is None:
            return score
        rate_hz = detector.manifest.sample_rate_hz
        return self._shared_sound.attribute(window, score, rate_hz, self._is_running)

    def _is_running(self, machine: str) -> bool:
        pipeline = self._pipelines.get(machine)
        return pipeline is not None and pipeline.state in _RUNNING

    def _check_sources(self) -> None:
        """Check all sources, and end the run when no more audio will come.

        A monitor without machines waits for the first one.
        """
        finished = [self._check_source(pipeline) for pipeline in self._pipelines.values()]
        if finished and all(finished):
            self._end()
        paused = [name for name, pipeline in self._pipelines.items() if pipeline.is_paused]
        with self._condition:  # their sources were not read, so they do not notify again
            self._ready_machines.update(dict.fromkeys(paused))

    def _check_source(self, pipeline: Pipeline) -> bool:
        """Check a pipeline's source; return whether it has ended and nothing is being learned."""
        ended = pipeline.check_source().state is SourceState.ENDED
        return ended and pipeline.commissioning is None
