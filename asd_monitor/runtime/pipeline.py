"""One machine's way from audio to states; knows nothing of threads.

Everything here is called from the inference thread once that runs, but for ``is_alive``,
``has_ended`` and ``state``, which any thread may ask.
"""

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from asd_monitor.audio.windowing import SlidingWindow
from asd_monitor.detection.alarm import Alarm
from asd_monitor.records import (
    Record,
    ScoredWindow,
    SourceHealth,
    SourceState,
    State,
    Transition,
    Window,
    WindowScore,
)
from asd_monitor.runtime.commissioning import Commissioning
from asd_monitor.sources import AudioSource
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector

logger = logging.getLogger(__name__)

LATE_WINDOWS = 4
LATE_S = 6.0
"""More windows of one machine than both of these waiting at once: the oldest are dropped and
counted. A microphone that stood still sends all that its buffer kept after a moment's doubt."""
HEALTH_EVERY_S = 5.0
PROGRESS_EVERY_S = 1.0
STALL_GRACE_S = 10.0
"""A window may come so much later than its length before the pipeline counts as hung."""

_ACTIVE_STATES = frozenset({SourceState.RUNNING, SourceState.ENDED})


class Pipeline:
    """Turn one source's audio into scores and transitions.

    Parameters
    ----------
    machine
        Name of the machine.
    source
        Where its audio comes from.
    alarm
        Its state machine.
    emit
        Hands a record to the sinks.
    metrics
        Counts late windows.
    drop_late
        True for live sources: when scoring falls behind, the newest audio wins.
    clock
        Wall clock, in seconds since the epoch.
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(
        self,
        machine: str,
        source: AudioSource,
        alarm: Alarm,
        *,
        emit: Callable[[Record], None],
        metrics: Metrics,
        drop_late: bool,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.machine = machine
        self.source = source
        self.detector: Detector | None = None
        self.commissioning: Commissioning | None = None
        self.is_paused = False
        self.learned_until = 0
        """Learning has taken the source's sound up to this sample."""
        self._alarm = alarm
        self._emit = emit
        self._metrics = metrics
        self._drop_late = drop_late
        self._clock = clock
        self._monotonic = monotonic
        self._cutter: SlidingWindow | None = None
        self._health: SourceHealth | None = None
        self._health_at = float("-inf")
        self._progress_at = float("-inf")
        self._consumed_at = monotonic()
        self._window_s = 0.0
        self._hop_samples = 1
        self._most_waiting = LATE_WINDOWS
        self._window_phase: int | None = None

    def announce(self) -> None:
        """Announce the machine to the sinks."""
        self._emit(self._alarm.initial_transition(self._clock()))

    def learn(self, commissioning: Commissioning) -> None:
        """Collect normal sound first."""
        self.commissioning = commissioning
        self._emit_transition(self._alarm.enter_learning(self._clock()))
        commissioning.start()

    def set_detector(self, detector: "Detector") -> None:
        """Score with this detector from the next sample on."""
        if self.commissioning is not None:
            self._emit(self.commissioning.progress())
        manifest = detector.manifest
        self.detector, self.commissioning = detector, None
        self._cutter = SlidingWindow(
            self.machine, manifest.window_samples, manifest.hop_samples, manifest.sample_rate_hz
        )
        self._window_s = manifest.window_samples / manifest.sample_rate_hz
        self._hop_samples, self._window_phase = manifest.hop_samples, None
        hop_s = manifest.hop_samples / manifest.sample_rate_hz
        self._most_waiting = max(LATE_WINDOWS, math.ceil(LATE_S / hop_s))
        self._consumed_at = self._monotonic()
        self._emit_transition(self._alarm.configure(detector.rule(self.machine), self._clock()))

    def collect(self) -> list[Window]:
        """Read the source and return the windows now complete."""
        self.is_paused = self._should_pause()
        if self.is_paused:
            self._consumed_at = self._monotonic()
            return []
        windows: list[Window] = []
        for chunk in self.source.read():
            if self.commissioning is not None:
                self.commissioning.push(chunk)
                self.learned_until = chunk.start + len(chunk.samples)
                self._consumed_at = self._monotonic()
            elif self._cutter is not None:
                windows += self._cutter.push(chunk)
                if chunk.lost_samples:
                    self._mark_unknown(f"audio was lost: {chunk.lost_samples} samples")
        self._announce_window_ends()
        return self._newest(windows) if self._drop_late else windows

    def _should_pause(self) -> bool:
        """Tell whether there is enough to learn from, and the rest is to be scored later."""
        commissioning = self.commissioning
        return not (self._drop_late or commissioning is None or commissioning.wants_more())

    def accept(self, score: WindowScore) -> None:
        """Take a window's score into account and hand it out."""
        self._consumed_at = self._monotonic()
        decision, transition = self._alarm.update(score)
        self._emit(ScoredWindow(score, decision))
        self._emit_transition(transition)

    def check_source(self) -> SourceHealth:
        """Look after the source: a machine that cannot be heard is UNKNOWN."""
        health, now = self.source.health(), self._monotonic()
        changed = self._health is None or health.state is not self._health.state
        if changed or now - self._health_at >= HEALTH_EVERY_S:
            self._health, self._health_at = health, now
            self._emit(health)
        if self.commissioning is not None and now - self._progress_at >= PROGRESS_EVERY_S:
            self._progress_at = now
            self._emit(self.commissioning.progress())
        if health.state is SourceState.ENDED and self.commissioning is not None:
            self.commissioning.finish()
        if health.state is SourceState.CLOSED:
            self._mark_unknown("the monitor has stopped")
        elif health.state not in _ACTIVE_STATES:
            self._mark_unknown(health.reason or str(health.state))
        return health

    @property
    def state(self) -> State:
        """The machine's present state."""
        return self._alarm.state

    def has_ended(self) -> bool:
        """Tell whether the source's recordings have come to their end."""
        return self.source.health().state is SourceState.ENDED

    def is_alive(self) -> bool:
        """Tell whether windows are consumed while audio arrives; called from any thread."""
        commissioning, health = self.commissioning, self._health  # both may change meanwhile
        fitting = commissioning is not None and commissioning.progress().fitting
        if health is None or health.state is not SourceState.RUNNING or fitting:
            self._consumed_at = self._monotonic()
            return True
        return self._monotonic() - self._consumed_at < self._window_s + STALL_GRACE_S

    def _announce_window_ends(self) -> None:
        """Tell the source where windows end, wherever a gap has moved that."""
        end = self._cutter.next_end if self._cutter is not None else None
        if end is not None and end % self._hop_samples != self._window_phase:
            self._window_phase = end % self._hop_samples
            self.source.expect_windows(end, self._hop_samples)

    def _newest(self, windows: list[Window]) -> list[Window]:
        late = len(windows) - self._most_waiting
        if late <= 0:
            return windows
        self._metrics.windows.labels(self.machine, "late").inc(late)
        reason = f"scoring is behind: {late} windows were dropped"
        logger.warning("%s: %s", self.machine, reason)
        self._mark_unknown(reason)
        return windows[late:]

    def _mark_unknown(self, reason: str) -> None:
        self._emit_transition(self._alarm.mark_unknown(reason, self._clock()))

    def _emit_transition(self, transition: Transition | None) -> None:
        if transition is not None:
            self._emit(transition)
