"""What the alarm would have done: false alarms in normal sound, delay until a fault is announced.

The alarm is the live monitor's own, fed with the windows that were scored.

False alarms: all normal test clips of a section are played one after the other, in order of
their names, as the monitor plays a folder of recordings.

Delay: each anomalous clip by itself, heard from its first sample by an alarm that has heard
nothing else. A clip is often shorter than an alarm takes (three windows of five, or a minute of a
sustained shift), so it is repeated until the alarm is raised or five minutes are over: the delay is
that of a fault which goes on sounding as it does in the clip.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from asd_monitor.detection.alarm import Alarm, AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.records import Quality, State, WindowScore
from asd_offline.replay.job_results import ClipRow

MAX_DELAY_S = 300.0


@dataclass(frozen=True, slots=True)
class AlarmMetrics:
    """How a section fares at the alarm."""

    normal_clips: int
    normal_hours: float
    false_alarms: int
    alarmed_share: float | None
    """How much of the normal sound was heard in state ALARM, in [0, 1]."""
    anomalies: int
    detected: int
    median_delay_s: float | None
    """Of the anomalies that raised the alarm."""

    @property
    def false_alarms_per_hour(self) -> float | None:
        """None without normal clips."""
        return self.false_alarms / self.normal_hours if self.normal_hours else None

    @property
    def highest_rate_per_hour(self) -> float | None:
        """One-sided 95 % Poisson bound of the rate: what so little normal sound cannot rule out."""
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
            "false_alarms_per_hour": self.false_alarms_per_hour,
            "false_alarms_per_hour_at_most_95": self.highest_rate_per_hour,
            "alarmed_share_of_normal": self.alarmed_share,
            "anomalies": self.anomalies,
            "detected": self.detected,
            "median_delay_s": self.median_delay_s,
        }


@dataclass
class AlarmReplay:
    """Feed the alarm with the clips of one section, one by one.

    Parameters
    ----------
    rule
        How the windows of the section are judged.
    settings
        The alarm's rules.
    """

    rule: DecisionRule
    settings: AlarmSettings
    _normal_samples: int = field(init=False, default=0)
    _normal_clips: int = field(init=False, default=0)
    _false_alarms: int = field(init=False, default=0)
    _windows: int = field(init=False, default=0)
    _alarmed: int = field(init=False, default=0)
    _was_alarming: bool = field(init=False, default=False)
    _anomalies: int = field(init=False, default=0)
    _delays_s: list[float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._alarm = self._new_alarm()

    def update(self, row: ClipRow) -> None:
        """Take a clip into account; one without label or score does not count."""
        if row.clip.label is None or row.value is None:
            return
        if row.clip.label == 0:
            self._update_normal(row)
        else:
            self._anomalies += 1
            delay_s = self._delay_s(row)
            if delay_s is not None:
                self._delays_s.append(delay_s)

    def metrics(self) -> AlarmMetrics:
        """Return what was found."""
        return AlarmMetrics(
            normal_clips=self._normal_clips,
            normal_hours=self._normal_samples / self.rule.sample_rate_hz / 3600,
            false_alarms=self._false_alarms,
            alarmed_share=self._alarmed / self._windows if self._windows else None,
            anomalies=self._anomalies,
            detected=len(self._delays_s),
            median_delay_s=statistics.median(self._delays_s) if self._delays_s else None,
        )

    def _update_normal(self, row: ClipRow) -> None:
        for score in self._scores(row, self._normal_samples):
            _, transition = self._alarm.update(score)
            state = self._alarm.state
            self._windows += 1
            self._alarmed += state is State.ALARM
            # An alarm that stands again after a silent clip is not a new one.
            if transition and state is State.ALARM:
                self._false_alarms += not self._was_alarming
            self._was_alarming = state is State.ALARM or (
                self._was_alarming and state is State.UNKNOWN
            )
        self._normal_samples += row.samples
        self._normal_clips += 1

    def _delay_s(self, row: ClipRow) -> float | None:
        alarm, start = self._new_alarm(), 0
        while start < MAX_DELAY_S * self.rule.sample_rate_hz:
            for score in self._scores(row, start):
                alarm.update(score)
                if alarm.state is State.ALARM:
                    end = score.window_start + self.rule.window_samples
                    return end / self.rule.sample_rate_hz
            start += row.samples
        return None

    def _scores(self, row: ClipRow, offset: int) -> Iterator[WindowScore]:
        """Windows of a clip that begins at sample ``offset``."""
        size, rate_hz = self.rule.window_samples, self.rule.sample_rate_hz
        for seq, window in enumerate(row.windows):
            start = offset + window.start
            yield WindowScore(
                machine=row.clip.machine,
                seq=seq,
                window_start=start,
                captured_at=(start + size) / rate_hz,
                quality=Quality(window.quality),
                value=window.value,
                p_value=window.p_value,
                extrapolated=window.extrapolated,
                threshold=self.rule.threshold,
                level_dbfs=window.level_dbfs,
                lost_samples=0,
                inference_s=0.0,
                recording=row.clip.name,
            )

    def _new_alarm(self) -> Alarm:
        alarm = Alarm("replay", self.settings, "replay")
        alarm.configure(self.rule, at=0.0)
        return alarm
