"""Run the monitor: start its threads, score the audio of its sources, and stop in order.

========== ================================================================================
thread      task
========== ================================================================================
caller      supervises, feeds the watchdog, stops
inference   reads sources, assembles windows, scores, decides, hands records to the sinks
inference-N call models with the inference thread, where several have windows at one time
sources     their own: each source captures in its own thread or process
sinks       their own: each network or disk sink drains its own bounded queue
learning    one per machine in commissioning: writes recordings, fits the model
========== ================================================================================
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from asd_monitor.errors import AsdMonitorError
from asd_monitor.history.cases import CaseTracker
from asd_monitor.records import Record, SourceState
from asd_monitor.runtime.commissioning import Commissioning
from asd_monitor.runtime.monitor_requests import STOP_TIMEOUT_S, Kind, Requests
from asd_monitor.runtime.pipeline import Adjustment, Pipeline
from asd_monitor.runtime.record_distribution import RecordDistribution
from asd_monitor.runtime.record_holder import RecordHolder
from asd_monitor.runtime.scoring_rounds import ScoringRounds
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
FLUSH_TIMEOUT_S = 1.0
ABORT_TIMEOUT_S = 10.0


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
    workers
        Number of threads that score, including the inference thread.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        cases: CaseTracker | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        workers: int = 1,
    ) -> None:
        self._distribution = RecordDistribution(metrics, cases or CaseTracker())
        self._rounds = ScoringRounds(monotonic, workers)
        self._requests = Requests()
        self._monotonic = monotonic
        self._pipelines: dict[str, Pipeline] = {}
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
        return self._distribution.sinks

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
        self._distribution.add(sink)

    def add_pipeline(self, pipeline: Pipeline) -> None:
        """Add a machine's pipeline; it needs :meth:`install` or :meth:`learn` as well."""
        self._pipelines[pipeline.machine] = pipeline

    def emit(self, record: Record) -> None:
        """Hand a record to every sink; an error of a sink is counted and stops nothing.

        Transitions get the id of their event first, and the names of machines with a simultaneous
        event.
        """
        self._distribution.emit(record)

    def post(self, record: Record) -> None:
        """Emit a record soon, in the inference thread; may be called from any thread."""
        self._distribution.post(record)
        self._requests.wake()

    def start(self) -> None:
        """Open sinks and sources and start scoring; raise SinkError for unusable settings."""
        for sink in self.sinks:
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

        def act() -> None:
            if machine in self._pipelines:  # else it was removed meanwhile
                self._pipelines[machine].set_detector(detector)

        self._requests.put(Kind.INSTALL, act)

    def adjust(self, machine: str, adjustment: Adjustment) -> None:
        """Judge a machine by other limits soon; may be called from any thread."""

        def act() -> None:
            if machine in self._pipelines:
                self._pipelines[machine].adjust(adjustment)

        self._requests.put(Kind.ADJUST, act)

    def join(self, pipeline: Pipeline, commissioning: Commissioning | None) -> None:
        """Add a machine to the running monitor; may be called from any thread.

        Without a commissioning it needs :meth:`install` afterwards.
        """
        self._requests.put(Kind.JOIN, lambda: self._begin(pipeline, commissioning))

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
        self._requests.put(
            Kind.REMOVE, lambda: self._end_machine(machine, is_removed=is_removed)
        ).wait()
        commissioning = pipeline.commissioning
        if commissioning is not None:
            commissioning.close()
            commissioning.join(FLUSH_TIMEOUT_S)

    def change(self, machine: str, change: Callable[[Pipeline], None]) -> None:
        """Change the pipeline of a machine between two windows; may be called from any thread."""

        def act() -> None:
            if machine in self._pipelines:
                change(self._pipelines[machine])

        self._requests.put(Kind.CHANGE, act).wait()

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
        self._requests.put(
            Kind.EXCHANGE_SINKS,
            lambda: self._distribution.exchange(old, new),
            abandon=None if new is None else new.close,
        ).wait()

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
        self._requests.wake()
        if self._thread.ident is not None:
            self._thread.join(STOP_TIMEOUT_S)
            if self._thread.is_alive():
                logger.warning("the inference thread did not stop within %.0f s", STOP_TIMEOUT_S)
        for pipeline in self._pipelines.values():  # again, for one that has joined meanwhile
            pipeline.source.close()
        self._requests.abandon()
        # Read once: another thread may end a commissioning meanwhile.
        candidates = [pipeline.commissioning for pipeline in self._pipelines.values()]
        commissionings = [candidate for candidate in candidates if candidate is not None]
        for commissioning in commissionings:
            commissioning.close()
        for commissioning in commissionings:
            commissioning.join(FLUSH_TIMEOUT_S)
        for sink in self.sinks:
            sink.close()
            self._distribution.emit_posted()  # by a sink that has completed its work
        # A fit may take longer to abort; the sinks have delivered their records by then.
        for commissioning in commissionings:
            commissioning.join(ABORT_TIMEOUT_S)

    def read_again(self, machine: str) -> None:
        """Read the source of a machine, which may have been paused; from any thread."""
        self._requests.mark_ready(machine)

    def _make_notifier(self, machine: str) -> Callable[[], None]:
        return partial(self.read_again, machine)

    def _work(self) -> None:
        try:
            checked_at, timeout_s = float("-inf"), CHECK_INTERVAL_S
            while not self._stopping.is_set():
                self._score_ready(self._wait_for_audio(timeout_s))
                self._distribution.emit_posted()
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
        finally:
            self._rounds.close()

    def _wait_for_audio(self, timeout_s: float) -> list[str]:
        """Return the machines whose source has audio or a new state; do what was requested."""
        machines, requests = self._requests.take(
            timeout_s, lambda: self._distribution.has_posted or self._stopping.is_set()
        )
        for request in requests:
            request.fulfil()
        return [machine for machine in machines if machine in self._pipelines]

    def _begin(self, pipeline: Pipeline, commissioning: Commissioning | None) -> None:
        """Start a machine that has joined the running monitor."""
        self._distribution.begin(pipeline.machine)
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
        self._rounds.forget(machine)
        self._distribution.remove(machine)

    def _score_ready(self, machines: Sequence[str]) -> None:
        self._rounds.score(self._pipelines, machines)

    def _check_sources(self) -> None:
        """Check all sources, and end the run when no more audio will come.

        A monitor without machines waits for the first one.
        """
        finished = [self._check_source(pipeline) for pipeline in self._pipelines.values()]
        if finished and all(finished):
            self._end()
        paused = [name for name, pipeline in self._pipelines.items() if pipeline.is_paused]
        self._requests.mark_paused(paused)

    def _check_source(self, pipeline: Pipeline) -> bool:
        """Check a pipeline's source; return whether it has ended and nothing is being learned."""
        ended = pipeline.check_source().state is SourceState.ENDED
        return ended and pipeline.commissioning is None
