"""Turn the audio of one machine into scores and states, without threads of its own.

All methods are called from the inference thread while it runs, except ``is_alive``, ``has_ended``
and ``state``, which any thread may call.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asd_monitor.audio import sample_rates
from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.evidence.ring import SoundRing
from asd_monitor.records import (
    REMOVED,
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
from asd_monitor.runtime.window_feed import WindowFeed
from asd_monitor.sources import AudioSource
from asd_monitor.sources.rate_conversion import ConvertedSource
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.calibration import Calibration
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.detector import Detector

logger = logging.getLogger(__name__)

HEALTH_INTERVAL_S = 5.0
PROGRESS_INTERVAL_S = 1.0
STALL_GRACE_S = 10.0
"""A pipeline is stalled when no window is consumed for this long beyond the window's length."""

_ACTIVE_STATES = frozenset({SourceState.RUNNING, SourceState.ENDED})


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Other limits for the scores of a model that is in use."""

    model_sha256: str
    rule: "DecisionRule"
    calibration: "Calibration"


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
        True for live sources: when scoring is too slow, the oldest windows are dropped. False for
        recordings: they are paused instead.
    clock
        Wall clock, in seconds since the epoch.
    monotonic
        Clock that never jumps, in seconds.
    ring
        Receives a copy of all sound; None: no copy is kept.

    Attributes
    ----------
    detector
        The installed detector; None before there is one.
    commissioning
        The commissioning in progress; None otherwise.
    is_paused
        Whether the source was not read last time, because its sound is to be scored later.
    model_problem
        Why the machine has no model, or not its newest one, or one that is not saved; empty if
        there is no problem.
    learned_until
        Learning has taken the source's audio up to this sample.
    is_leaving
        Whether the machine is being removed, so that the end of its source is nothing to report.
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
        ring: SoundRing | None = None,
    ) -> None:
        self.machine = machine
        self.ring = ring
        self.source = source
        self.detector: Detector | None = None
        self.commissioning: Commissioning | None = None
        self.is_paused = False
        self.model_problem = ""
        self.learned_until = 0
        self.is_leaving = False
        self._alarm = alarm
        self._emit = emit
        self._metrics = metrics
        self._drop_late = drop_late
        self._clock = clock
        self._monotonic = monotonic
        self._has_audio = False
        self._feed: WindowFeed | None = None
        self._adjustment: Adjustment | None = None
        self._health: SourceHealth | None = None
        self._health_at = float("-inf")
        self._problem = self._reported_problem = ""
        self._progress_at = float("-inf")
        self._consumed_at = monotonic()

    def announce(self) -> None:
        """Emit the machine's initial state."""
        transition = self._alarm.initial_transition(self._clock())
        if self.detector is None and self.model_problem:
            transition = replace(transition, reason=self.model_problem)
        self._emit(transition)

    def learn(self, commissioning: Commissioning) -> None:
        """Collect normal sound before the machine is scored."""
        self.commissioning = commissioning
        self._emit_transition(self._alarm.enter_learning(self._clock()))
        commissioning.start()

    def set_detector(self, detector: "Detector") -> None:
        """Score with this detector from the next window on.

        Windows of the same length and hop as those of the detector before continue, so that
        none is lost. Otherwise they begin with the next sample.
        """
        if self.commissioning is not None:
            self._emit(self.commissioning.progress())
        earlier, self.detector, self.commissioning = self.detector, detector, None
        self._lower_rate(detector.manifest.sample_rate_hz)
        if earlier is not None:
            detector.continue_numbers(self.machine, earlier)
        if self._feed is None or not self._feed.fits(detector.manifest):
            self._feed = WindowFeed(self.machine, self.source, detector.manifest)
        self._consumed_at = self._monotonic()
        self._adjustment = None
        self._emit_transition(self._alarm.configure(detector.rule(self.machine), self._clock()))

    @property
    def alarm(self) -> Alarm:
        """The state machine of the machine."""
        return self._alarm

    def change_alarm(
        self, settings: AlarmSettings, rule: "DecisionRule", calibration: "Calibration | None"
    ) -> None:
        """Judge by other settings from the next window on; state and evidence continue."""
        if self.detector is None:
            return
        self._adjustment = None
        self.detector.adjust(self.machine, rule, calibration)
        self._alarm.change_settings(settings, rule)

    def adjust(self, adjustment: Adjustment) -> None:
        """Judge by other limits from the next window on after which the machine is NORMAL."""
        self._adjustment = adjustment

    def _adjust_if_due(self) -> None:
        adjustment, detector = self._adjustment, self.detector
        if adjustment is None or detector is None or self._alarm.state is not State.NORMAL:
            return
        self._adjustment = None
        if detector.model.sha256 != adjustment.model_sha256:
            return
        detector.adjust(self.machine, adjustment.rule, adjustment.calibration)
        self._alarm.adjust(adjustment.rule)

    def _lower_rate(self, rate_hz: int) -> None:
        """Convert the sound to the model's rate, where that is below the one of capturing."""
        if isinstance(self.source, ConvertedSource) and self.source.rate_hz != rate_hz:
            self.source.set_rate_hz(rate_hz)
            if self.ring is not None:
                self.ring.restart(rate_hz)

    def collect(self) -> list[Window]:
        """Read the source; return the windows that are complete."""
        self.is_paused = self._should_pause()
        if self.is_paused:
            self._consumed_at = self._monotonic()
            return []
        windows: list[Window] = []
        for chunk in self.source.read():
            self._has_audio = True
            if self.ring is not None:
                self.ring.push(chunk)
            if self.commissioning is not None:
                self.commissioning.push(chunk)
                self.learned_until = chunk.start + len(chunk.samples)
                self._consumed_at = self._monotonic()
            elif self._feed is not None:
                windows += self._feed.push(chunk)
                if chunk.lost_samples:
                    self._mark_unknown(f"audio was lost: {chunk.lost_samples} samples")
        if self._feed is None:  # being learned, or without a model
            self._consumed_at = self._monotonic()
            return windows
        self._feed.announce_window_ends()
        late = self._feed.count_late(windows) if self._drop_late else 0
        if late:
            self._metrics.windows.labels(self.machine, "late").inc(late)
            reason = f"scoring is too slow: {late} windows were dropped"
            logger.warning("%s: %s", self.machine, reason)
            self._mark_unknown(reason)
        return windows[late:]

    def _should_pause(self) -> bool:
        """Return whether commissioning has enough, so that recordings are kept for scoring."""
        commissioning = self.commissioning
        return not (self._drop_late or commissioning is None or commissioning.needs_more())

    def accept(self, score: WindowScore) -> None:
        """Decide on a window's score and emit the result."""
        self._consumed_at = self._monotonic()
        decision, transition = self._alarm.update(score)
        self._emit(ScoredWindow(score, decision, is_live=self._drop_late))
        self._emit_transition(transition)
        self._adjust_if_due()

    def check_source(self) -> SourceHealth:
        """Emit health and learning progress; the machine is UNKNOWN while no audio arrives."""
        health, now = self._add_problem(self.source.health()), self._monotonic()
        health = replace(health, clock_unsynced=self._metrics.clock_watch.check())
        if self.is_leaving:
            return health
        changed = self._health is None or (
            health.state is not self._health.state
            or health.clock_unsynced is not self._health.clock_unsynced
            or self._problem != self._reported_problem
        )
        if changed or now - self._health_at >= HEALTH_INTERVAL_S:
            self._health, self._health_at = health, now
            self._reported_problem = self._problem
            self._emit(health)
        if self.commissioning is not None and now - self._progress_at >= PROGRESS_INTERVAL_S:
            self._progress_at = now
            self._emit(self.commissioning.progress())
        if health.state is SourceState.ENDED and self.commissioning is not None:
            self.commissioning.finish()
        if health.state is SourceState.CLOSED:
            self._mark_unknown("the monitor has stopped")
        elif health.state is SourceState.OPENING and not self._has_audio:
            pass  # opened for the first time: the state may be an alarm from before a restart
        elif health.state not in _ACTIVE_STATES:
            self._mark_unknown(health.reason or str(health.state))
        return health

    def end(self) -> None:
        """Emit that the machine was removed, which ends its event."""
        now, last = self._clock(), self._alarm.state
        self._alarm.mark_unknown("the machine was removed", now)
        transition = self._alarm.initial_transition(now)
        self._emit(
            replace(
                transition, previous=last, reason="the machine was removed", rule=REMOVED,
                captured_at=now,
            )
        )  # fmt: skip

    def _add_problem(self, health: SourceHealth) -> SourceHealth:
        """Add to the health of a running source why its sound is not learned from or doubtful."""
        commissioning, detector, problem = self.commissioning, self.detector, self.model_problem
        if commissioning is not None:
            problem = commissioning.progress().problem or problem
        elif detector is not None:
            training, rate_hz = detector.manifest.training, detector.manifest.sample_rate_hz
            learned_hz = sample_rates.learned_rates_hz(training)
            difference = sample_rates.describe_difference(health.rate_hz, learned_hz, rate_hz)
            problem = "; ".join(filter(None, (problem, difference)))
        self._problem = problem
        if not problem or health.state not in _ACTIVE_STATES:
            return health
        return replace(health, reason="; ".join(filter(None, (health.reason, problem))))

    @property
    def state(self) -> State:
        """The machine's present state."""
        return self._alarm.state

    def has_ended(self) -> bool:
        """Return whether all recordings of the source have been played."""
        return self.source.health().state is SourceState.ENDED

    def is_alive(self) -> bool:
        """Return whether windows are consumed while audio arrives; called from any thread."""
        commissioning, health = self.commissioning, self._health  # both may change meanwhile
        fitting = commissioning is not None and commissioning.progress().fitting
        if health is None or health.state is not SourceState.RUNNING or fitting:
            self._consumed_at = self._monotonic()
            return True
        window_s = 0.0 if self._feed is None else self._feed.window_s
        return self._monotonic() - self._consumed_at < window_s + STALL_GRACE_S

    def _mark_unknown(self, reason: str) -> None:
        self._emit_transition(self._alarm.mark_unknown(reason, self._clock()))

    def _emit_transition(self, transition: Transition | None) -> None:
        if transition is not None:
            self._emit(transition)
