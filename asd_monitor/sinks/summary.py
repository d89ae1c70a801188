"""What a run has seen, in a few numbers; printed when it ends."""

from dataclasses import dataclass, field
from typing import Any

from asd_monitor.records import (
    Record,
    ScoredWindow,
    SourceHealth,
    SourceState,
    State,
    Transition,
    WindowScore,
)


@dataclass
class MachineSummary:
    """One machine's run so far."""

    final_state: State = State.UNKNOWN
    windows: int = 0
    scored: int = 0
    lost_frames: int = 0
    """Samples lost, at the model's rate."""
    alarms: int = 0
    raised_at: float | None = None
    """When the first alarm was raised, s since epoch."""
    cleared_at: float | None = None
    """When the last alarm was cleared, s since epoch; None while one stands."""
    highest_score: float | None = None
    model: str | None = None
    stopped: bool = False
    """The source is closed: that nothing is heard any more is no result of the run."""


@dataclass
class SummarySink:
    """Count what passes; read by the command after the monitor has stopped."""

    machines: dict[str, MachineSummary] = field(default_factory=dict)

    def open(self) -> None:
        """Nothing to open."""

    def emit(self, record: Record) -> None:
        """Take a record into account."""
        summary = self.machines.setdefault(record.machine, MachineSummary())
        match record:
            case ScoredWindow():
                self._count(summary, record.score)
            case Transition() if not summary.stopped:
                self._follow(summary, record)
            case SourceHealth():
                summary.lost_frames = record.lost_samples
                summary.stopped = record.state is SourceState.CLOSED

    def close(self) -> None:
        """Nothing to close."""

    def _count(self, summary: MachineSummary, score: WindowScore) -> None:
        summary.windows += 1
        if score.value is not None:
            summary.scored += 1
            highest = summary.highest_score
            summary.highest_score = score.value if highest is None else max(highest, score.value)
        if score.model is not None:
            summary.model = score.model.sha256

    def _follow(self, summary: MachineSummary, transition: Transition) -> None:
        summary.final_state = transition.state
        if transition.state is State.ALARM and transition.previous is not State.UNKNOWN:
            summary.alarms += 1
        if transition.state is State.ALARM and summary.raised_at is None:
            summary.raised_at = transition.captured_at
        if transition.state is State.ALARM:
            summary.cleared_at = None
        elif transition.state is State.NORMAL and summary.raised_at is not None:
            summary.cleared_at = summary.cleared_at or transition.captured_at

    def to_json(self, started_at: float, mqtt_messages: int) -> dict[str, Any]:
        """Return the result: over all machines, and by machine.

        Parameters
        ----------
        started_at
            When monitoring began, s since epoch; times of alarms are relative to it.
        mqtt_messages
            Messages published.
        """
        machines = {name: _to_json(each, started_at) for name, each in self.machines.items()}
        raised = [each["raised_at_s"] for each in machines.values() if each["raised_at_s"]]
        states = [each.final_state for each in self.machines.values()]
        gravest = max(states, key=_GRAVITY.index, default=State.UNKNOWN)
        cleared = [each["cleared_at_s"] for each in machines.values() if each["raised_at_s"]]
        return {
            "raised_at_s": min(raised, default=None),
            "cleared_at_s": max(cleared) if cleared and None not in cleared else None,
            "final_state": str(gravest),
            "windows": sum(each.windows for each in self.machines.values()),
            "lost_frames": sum(each.lost_frames for each in self.machines.values()),
            "mqtt_messages": mqtt_messages,
            "machines": machines,
        }


_GRAVITY = [State.NORMAL, State.LEARNING, State.UNKNOWN, State.WARNING, State.ALARM]


def _to_json(summary: MachineSummary, started_at: float) -> dict[str, Any]:
    def since(at: float | None) -> float | None:
        return None if at is None else round(at - started_at, 3)

    return {
        "final_state": str(summary.final_state),
        "windows": summary.windows,
        "scored": summary.scored,
        "lost_frames": summary.lost_frames,
        "alarms": summary.alarms,
        "raised_at_s": since(summary.raised_at),
        "cleared_at_s": since(summary.cleared_at),
        "highest_score": summary.highest_score,
        "model_sha256": summary.model,
    }
