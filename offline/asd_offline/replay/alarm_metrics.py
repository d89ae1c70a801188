"""Behaviour of the alarm on the clips of a section: false alarms and detection delay.

The alarm is that of the live monitor; it gets the windows that were scored.

False alarms: all normal test clips of a section are played one after the other, in order of file
name, as the monitor plays a folder of recordings.

Delay: each anomalous clip is played alone to a new alarm. A clip is often shorter than an alarm
takes, so it is repeated until the alarm is raised or five minutes have passed. The delay is that
for a fault which continues to sound as it does in the clip.
"""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.records import State, WindowScore
from asd_offline.replay.records import ClipResult

MAX_DELAY_S = 300.0
MIN_NORMAL_H = 1.0
"""With less normal sound, a rate of false alarms says nothing."""


@dataclass(frozen=True, slots=True)
class AlarmMetrics:
    """False alarms and detections of a section."""

    normal_clips: int
    normal_hours: float
    false_alarms: int
    alarmed_share: float | None
    """Share of the windows of normal clips in state ALARM, in [0, 1]; None without any."""
    false_alarms_by: Mapping[str, int]
    """False alarms by the rule that raised them."""
    anomalies: int
    detected: int
    """Anomalies that raised the alarm."""
    detected_by: Mapping[str, int]
    """Anomalies that raised the alarm, by the rule that raised it."""
    median_delay_s: float | None
    """Median over the detected anomalies; None without any."""

    @property
    def supports_rate(self) -> bool:
        """Whether there is enough normal sound to state a rate of false alarms."""
        return self.normal_hours >= MIN_NORMAL_H

    @property
    def false_alarms_per_hour(self) -> float | None:
        """Rate of false alarms; None without normal clips."""
        return self.false_alarms / self.normal_hours if self.normal_hours else None

    @property
    def max_false_alarms_per_hour(self) -> float | None:
        """One-sided 95 % upper confidence limit of the rate, of a Poisson process."""
        from scipy.stats import chi2

        if not self.normal_hours:
            return None
        return float(chi2.ppf(0.95, 2 * self.false_alarms + 2) / 2 / self.normal_hours)

    def to_dict(self) -> dict[str, Any]:
        """Return values for ``json.dumps``."""
        return {
            "normal_clips": self.normal_clips,
            "normal_hours": self.normal_hours,
            "false_alarms": self.false_alarms,
            "false_alarms_by": dict(self.false_alarms_by),
            "false_alarms_per_hour": self.false_alarms_per_hour,
            "false_alarms_per_hour_at_most_95": self.max_false_alarms_per_hour,
            "alarmed_share_of_normal": self.alarmed_share,
            "anomalies": self.anomalies,
            "detected": self.detected,
            "detected_by": dict(self.detected_by),
            "median_delay_s": self.median_delay_s,
        }


@dataclass
class AlarmReplay:
    """Play the clips of one section to the alarm, one by one.

    Parameters
    ----------
    rule
        Decision rule of the section.
    settings
        Settings of the alarm.
    """

    rule: DecisionRule
    settings: AlarmSettings
    _normal_samples: int = field(init=False, default=0)
    _normal_clips: int = field(init=False, default=0)
    _false_alarms: Counter[str] = field(init=False, default_factory=Counter)
    _windows: int = field(init=False, default=0)
    _alarmed_windows: int = field(init=False, default=0)
    _was_alarming: bool = field(init=False, default=False)
    _anomalies: int = field(init=False, default=0)
    _detected: Counter[str] = field(init=False, default_factory=Counter)
    _delays_s: list[float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._alarm = self._new_alarm()

    def update(self, result: ClipResult) -> None:
        """Play a clip; one without label or score is ignored."""
        if result.value is None or result.clip.label is None:
            return
        if result.clip.label == 0:
            self._play_normal(result)
        else:
            self._anomalies += 1
            alarm = self._find_alarm(result)
            if alarm is not None:
                delay_s, rule = alarm
                self._delays_s.append(delay_s)
                self._detected[rule] += 1

    def metrics(self) -> AlarmMetrics:
        """Return the metrics of all clips so far."""
        return AlarmMetrics(
            normal_clips=self._normal_clips,
            normal_hours=self._normal_samples / self.rule.sample_rate_hz / 3600,
            false_alarms=self._false_alarms.total(),
            false_alarms_by=self._false_alarms,
            alarmed_share=self._alarmed_windows / self._windows if self._windows else None,
            anomalies=self._anomalies,
            detected=len(self._delays_s),
            detected_by=self._detected,
            median_delay_s=statistics.median(self._delays_s) if self._delays_s else None,
        )

    def _play_normal(self, result: ClipResult) -> None:
        for window in self._windows_at(result, self._normal_samples):
            _, transition = self._alarm.update(window)
            state = self._alarm.state
            self._windows += 1
            self._alarmed_windows += state is State.ALARM
            # An alarm that is active again after a silent clip is not a new one.
            if transition and state is State.ALARM:
                self._false_alarms[transition.rule] += not self._was_alarming
            self._was_alarming = state is State.ALARM or (
                self._was_alarming and state is State.UNKNOWN
            )
        self._normal_samples += result.sample_count
        self._normal_clips += 1

    def _find_alarm(self, result: ClipResult) -> tuple[float, str] | None:
        """Return the end of the window that raises the alarm, in s, and the rule; None if none."""
        alarm, start = self._new_alarm(), 0
        while start < MAX_DELAY_S * self.rule.sample_rate_hz:
            for window in self._windows_at(result, start):
                decision, _ = alarm.update(window)
                if decision.state is State.ALARM:
                    return window.captured_at, decision.rule
            start += result.sample_count
        return None

    def _windows_at(self, result: ClipResult, offset: int) -> Iterator[WindowScore]:
        """Yield the windows of a clip that is played from sample ``offset``."""
        for window in result.windows:
            start = offset + window.window_start
            end_s = (start + self.rule.window_samples) / self.rule.sample_rate_hz
            yield replace(window, window_start=start, captured_at=end_s)

    def _new_alarm(self) -> Alarm:
        alarm = Alarm("replay", self.settings, "replay")
        alarm.configure(self.rule, at=0.0)
        return alarm


def format_rules(counts: Mapping[str, int]) -> str:
    """Return how often each rule raised the alarm: ``17 by the rule sequential, ...``."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} by the rule {rule}" for rule, count in ordered if count)


def format_hours(hours: float) -> str:
    """Return a duration of sound, in minutes below an hour."""
    return f"{60 * hours:.3g} min" if hours < 1 else f"{hours:.3g} h"
