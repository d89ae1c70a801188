"""A read-only snapshot of the monitor, for everything that displays or summarises its state."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from asd_monitor.records import (
    CalibrationStatus,
    EvidenceReady,
    LearningProgress,
    MachineAlarm,
    MachineRemoved,
    Record,
    ScoredWindow,
    SourceHealth,
    SourceState,
    State,
    Transition,
)
from asd_monitor.telemetry.reload_result import ReloadResult

_CURRENT = frozenset({SourceState.RUNNING, SourceState.SILENT, SourceState.ENDED})


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """The newest records of one machine, and what they add up to since the start."""

    state: State = State.UNKNOWN
    reason: str = ""
    """Why the machine is in ``state``, in one sentence for the user."""
    window: ScoredWindow | None = None
    """The newest window, scored or not."""
    latency_s: float | None = None
    """Time from the capture of its last sample to its score; None for recordings that are read
    faster than real time."""
    health: SourceHealth | None = None
    learning: LearningProgress | None = None
    """Progress of commissioning; None once windows are scored."""
    evidence: EvidenceReady | None = None
    """What changed in the sound of the newest event that has evidence."""
    calibration: CalibrationStatus | None = None
    """Progress of the calibration; None where it does not continue while monitoring."""
    alarm: MachineAlarm | None = None
    """What people did about its events; None before that is known."""
    began_at: float | None = None
    """When the first sample of the first window was captured, in seconds since the epoch."""
    windows: int = 0
    scored: int = 0
    highest_score: float | None = None
    final_state: State = State.UNKNOWN
    """As ``state``, but unaffected by the end of the run."""
    alarms: int = 0
    raised_at: float | None = None
    """When the first alarm was raised, in seconds since the epoch."""
    cleared_at: float | None = None
    """When the last alarm was cleared, in seconds since the epoch; None while one is active."""
    alarm_reason: str = ""
    """Why the first alarm was raised, in one sentence for the user."""
    warnings: int = 0
    """Warnings given, whether or not an alarm followed."""
    warning_s: float = 0.0
    """Total time in state WARNING, up to the newest window."""
    warning_reason: str = ""
    """Why the last warning was given, or continues, in one sentence for the user."""
    name: str = ""
    """Name of the machine for people; empty: its id."""

    @property
    def lost_samples(self) -> int:
        """Samples lost so far, at the model's rate."""
        return 0 if self.health is None else self.health.lost_samples

    @property
    def problem(self) -> str:
        """What prevents the machine from being monitored or learned; empty for nothing."""
        if self.health is not None and self.health.reason:
            return self.health.reason
        if self.learning is not None and self.learning.problem:
            return self.learning.problem
        return self.reason if self.state is State.UNKNOWN and self.window is not None else ""

    @property
    def is_current(self) -> bool:
        """Whether the newest window describes the present sound."""
        return self.health is None or self.health.state in _CURRENT


@dataclass(frozen=True, slots=True)
class MonitorStatus:
    """What the monitor knows of its machines at one moment."""

    machines: Mapping[str, MachineStatus] = field(default_factory=dict)
    """The machines in the order of the settings."""
    is_alive: bool = True
    """Whether the monitor consumes the audio that arrives."""
    reload: ReloadResult | None = None
    """The last reload of the configuration; None: there was none since the start."""


class StatusTracker:
    """A sink that keeps the status of every machine.

    Parameters
    ----------
    machines
        Ids of the machines, or their names for people by id.
    is_alive
        Returns whether the monitor consumes the audio that arrives.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        machines: Sequence[str] | Mapping[str, str],
        is_alive: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        names = machines if isinstance(machines, Mapping) else {id_: id_ for id_ in machines}
        self._machines = {id_: MachineStatus(name=name) for id_, name in names.items()}
        self._lock = threading.Lock()  # for changes; copies of the dict need none
        self._is_alive = is_alive
        self._reload: ReloadResult | None = None
        self._clock = clock

    def add(self, machine: str, name: str) -> None:
        """Add a machine, before its first record, or rename it; from any thread."""
        with self._lock:
            status = self._machines.get(machine, MachineStatus())
            self._machines[machine] = replace(status, name=name)

    def open(self) -> None:
        """Do nothing."""

    def emit(self, record: Record) -> None:
        """Update the status of a machine."""
        with self._lock:
            if isinstance(record, MachineRemoved):
                self._machines.pop(record.machine, None)
            else:
                status = self._machines[record.machine]
                self._machines[record.machine] = self._update(status, record)

    def _update(self, status: MachineStatus, record: Record) -> MachineStatus:
        match record:
            case ScoredWindow():
                status = _after_window(status, record, self._clock())
            case Transition():
                status = _after_transition(status, record)
            case SourceHealth():
                status = replace(status, health=record)
            case LearningProgress():
                status = replace(status, learning=record)
                if status.state is State.LEARNING:
                    status = replace(status, reason=record.reason)
            case EvidenceReady():
                status = replace(status, evidence=record)
            case MachineAlarm():
                status = replace(status, alarm=record)
            case CalibrationStatus():
                status = replace(status, calibration=record)
        return status

    def close(self) -> None:
        """Do nothing."""

    def snapshot(self) -> MonitorStatus:
        """Return the present status; may be called from any thread."""
        return MonitorStatus(self._machines.copy(), self._is_alive(), self._reload)

    def note_reload(self, result: ReloadResult) -> None:
        """Take the result of a reload of the configuration into account; from any thread."""
        self._reload = result


def _after_window(status: MachineStatus, window: ScoredWindow, now: float) -> MachineStatus:
    value, highest = window.score.value, status.highest_score
    if value is not None and window.decision.verdict.is_judged:
        highest = value if highest is None else max(highest, value)
    return replace(
        status,
        reason=window.decision.reason or status.reason,
        window=window,
        latency_s=now - window.score.captured_at if window.is_live else None,
        learning=None,
        began_at=_begin_of(window) if status.began_at is None else status.began_at,
        windows=status.windows + 1,
        scored=status.scored + (value is not None),
        highest_score=highest,
        **_count_warning_time(status, window),
    )


def _begin_of(window: ScoredWindow) -> float:
    model = window.score.model
    length_s = 0.0 if model is None else model.window_samples / model.sample_rate_hz
    return window.score.captured_at - length_s


def _count_warning_time(status: MachineStatus, window: ScoredWindow) -> dict[str, Any]:
    """Return the values that change where a window finds the machine in WARNING."""
    if window.decision.state is not State.WARNING:
        return {}
    previous = status.window
    elapsed_s = 0.0
    if previous is not None and previous.decision.state is State.WARNING:
        elapsed_s = max(0.0, window.score.captured_at - previous.score.captured_at)
    exceeds = window.decision.verdict.exceeds  # else the reason is for how long it has been quiet
    reason = window.decision.reason if exceeds else status.warning_reason
    return {
        "warning_s": status.warning_s + elapsed_s,
        "warning_reason": reason,
    }


def _after_transition(status: MachineStatus, transition: Transition) -> MachineStatus:
    status = replace(status, state=transition.state, reason=transition.reason)
    if status.health is not None and status.health.state is SourceState.CLOSED:
        return status  # the monitor stops: that there is no audio any more is not a result
    status = replace(status, final_state=transition.state)
    if transition.state is State.WARNING:
        begins = transition.previous not in (State.WARNING, State.ALARM)
        warnings = status.warnings + begins
        return replace(status, warnings=warnings, warning_reason=transition.reason)
    if transition.state is State.ALARM:
        # An alarm from before audio was lost, or from before a restart.
        resumed = transition.previous in (State.UNKNOWN, State.ALARM)
        raised_at = transition.captured_at if status.raised_at is None else status.raised_at
        alarms = status.alarms + (not resumed)
        return replace(
            status,
            alarms=alarms,
            raised_at=raised_at,
            cleared_at=None,
            alarm_reason=status.alarm_reason or transition.reason,
        )
    if transition.state is State.NORMAL and status.raised_at is not None:
        return replace(status, cleared_at=status.cleared_at or transition.captured_at)
    return status
