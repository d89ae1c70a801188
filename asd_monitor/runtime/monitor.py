"""The daemon: sources, one inference thread, sinks; start, run, drain, stop.

========== ================================================================================
thread      does
========== ================================================================================
caller      supervises, feeds the watchdog, stops
inference   reads sources, cuts windows, scores, decides, hands records to the sinks
sources     theirs: each source captures in a thread or process of its own
sinks       theirs: each network or disk sink drains its own bounded queue
learning    one per machine in commissioning: writes recordings, fits the model
========== ================================================================================
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asd_monitor.errors import AsdMonitorError
from asd_monitor.records import Record, SourceState, Window
from asd_monitor.runtime.commissioning import Commissioning
from asd_monitor.runtime.pipeline import Pipeline
from asd_monitor.sinks import Sink
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector

logger = logging.getLogger(__name__)

TICK_S = 0.25
"""Sources are looked after when they have news, but not more often than this."""
QUIET_TICK_S = 1.5
"""They are looked after so often even when none has any."""
HUNG_AFTER_S = 15.0
STOP_WITHIN_S = 3.0
WRITTEN_WITHIN_S = 1.0
GIVEN_UP_WITHIN_S = 10.0


class Monitor:
    """Run pipelines and sinks until told to stop.

    Parameters
    ----------
    pipelines
        One per machine.
    sinks
        Where records go.
    metrics
        Counts what goes wrong inside a sink.
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(
        self,
        pipelines: Sequence[Pipeline],
        sinks: Sequence[Sink],
        metrics: Metrics,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipelines = {each.machine: each for each in pipelines}
        self._sinks = sinks
        self._metrics = metrics
        self._monotonic = monotonic
        self._news = threading.Condition()
        self._with_news: dict[str, None] = {}
        self._models: list[tuple[str, Detector]] = []
        self._learning: dict[str, Commissioning] = {}
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._tell_end: Callable[[], None] = lambda: None
        self._failure: Exception | None = None
        self._beat_at = monotonic()
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)

    def emit(self, record: Record) -> None:
        """Hand a record to every sink; a sink's fault is counted and stops nothing."""
        for sink in self._sinks:
            try:
                sink.emit(record)
            except Exception:  # a boundary: whatever a sink does wrong must not stop scoring
                name = type(sink).__name__
                self._metrics.sink_errors.labels(name).inc()
                logger.exception("%s failed to take a record", name)

    def start(self) -> None:
        """Open sinks and sources and begin to listen; raises SinkError for wrong settings."""
        for sink in self._sinks:
            sink.open()
        for name, pipeline in self._pipelines.items():
            pipeline.announce()
            if name in self._learning:
                pipeline.learn(self._learning[name])
        self._thread.start()
        for name, pipeline in self._pipelines.items():
            pipeline.source.open(self._waker(name))

    def install(self, machine: str, detector: "Detector") -> None:
        """Let a machine score with this detector; may be called from any thread."""
        with self._news:
            self._models.append((machine, detector))
            self._news.notify()

    def learn(self, machine: str, commissioning: Commissioning) -> None:
        """Let a machine be learned first; to be called before :meth:`start`."""
        self._learning[machine] = commissioning

    def fail(self, error: Exception) -> None:
        """End the run with this error; may be called from any thread."""
        self._failure = error
        self._end()

    def when_ended(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` at the end of all sources or at a failure; from any thread."""
        self._tell_end = tell

    def _end(self) -> None:
        self._ended.set()
        self._tell_end()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of all sources or a failure; return whether it has come.

        Raises
        ------
        AsdMonitorError
            If the inference thread has failed.
        """
        ended = self._ended.wait(timeout_s)
        if self._failure is not None:
            if isinstance(self._failure, AsdMonitorError):
                raise self._failure
            msg = f"the inference thread failed: {self._failure!r}"
            raise RuntimeError(msg) from self._failure
        return ended

    def is_alive(self) -> bool:
        """Tell whether the inference thread runs and every pipeline consumes its audio."""
        beats = self._monotonic() - self._beat_at < HUNG_AFTER_S
        return beats and all(each.is_alive() for each in self._pipelines.values())

    def stop(self) -> None:
        """Stop intake, score what is there, hand over what can be; bounded in time."""
        for pipeline in self._pipelines.values():
            pipeline.source.close()
        self._stopping.set()
        with self._news:
            self._news.notify()
        if self._thread.ident is not None:
            self._thread.join(STOP_WITHIN_S)
            if self._thread.is_alive():
                logger.warning("the inference thread did not stop within %.0f s", STOP_WITHIN_S)
        found = [each.commissioning for each in self._pipelines.values()]
        learning = [each for each in found if each is not None]
        for commissioning in learning:
            commissioning.close()
        for commissioning in learning:
            commissioning.join(WRITTEN_WITHIN_S)
        for sink in self._sinks:
            sink.close()
        for commissioning in learning:
            commissioning.join(GIVEN_UP_WITHIN_S)

    def _waker(self, machine: str) -> Callable[[], None]:
        def wake() -> None:
            with self._news:
                self._with_news[machine] = None
                self._news.notify()

        return wake

    def _work(self) -> None:
        try:
            ticked_at, timeout_s = float("-inf"), TICK_S
            while not self._stopping.is_set():
                self._round(self._await_news(timeout_s))
                self._beat_at = self._monotonic()
                timeout_s = ticked_at + TICK_S - self._beat_at
                if timeout_s <= 0:
                    ticked_at, timeout_s = self._beat_at, QUIET_TICK_S
                    self._tick()
            self._round(list(self._pipelines))
            self._tick()
        except Exception as error:  # the thread's top: recorded, and stops the monitor
            logger.exception("the inference thread failed")
            self.fail(error)

    def _await_news(self, timeout_s: float) -> list[str]:
        with self._news:
            if not self._with_news and not self._models and not self._stopping.is_set():
                self._news.wait(timeout_s)
            machines, models = list(self._with_news), self._models
            self._with_news, self._models = {}, []
        for machine, detector in models:
            self._pipelines[machine].set_detector(detector)
        return machines

    def _round(self, machines: Sequence[str]) -> None:
        """Score the windows of these machines, those of one model together."""
        batches: defaultdict[Detector, list[Window]] = defaultdict(list)
        for machine in machines:
            pipeline = self._pipelines[machine]
            windows = pipeline.collect()
            if windows and pipeline.detector is not None:
                batches[pipeline.detector] += windows
        for detector, windows in batches.items():
            # Batch by batch, so that the first results do not wait for the last windows.
            for first in range(0, len(windows), detector.max_batch):
                for score in detector.score(windows[first : first + detector.max_batch]):
                    self._pipelines[score.machine].accept(score)

    def _tick(self) -> None:
        over = [self._is_over(pipeline) for pipeline in self._pipelines.values()]
        if all(over):
            self._end()
        held = [name for name, each in self._pipelines.items() if each.is_held]
        with self._news:  # their sources were not read, so they have no news
            self._with_news.update(dict.fromkeys(held))

    def _is_over(self, pipeline: Pipeline) -> bool:
        """Look after a pipeline; tell whether its recordings have ended and been learned from."""
        ended = pipeline.tick().state is SourceState.ENDED
        return ended and pipeline.commissioning is None
