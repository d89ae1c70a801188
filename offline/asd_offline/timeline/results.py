"""Result of a replay of timelines."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_offline.datasets import Rejected
from asd_offline.timeline.labels import Span
from asd_offline.timeline.metrics import TimelineMetrics
from asd_offline.timeline.outcome import StreamOutcome
from asd_offline.timeline.trace import Trace


@dataclass(frozen=True, slots=True)
class PlayedStream:
    """One stream: its result, what the live path made of it, and its labels."""

    outcome: StreamOutcome
    trace: Trace
    spans: tuple[Span, ...]

    @property
    def metrics(self) -> TimelineMetrics:
        """Figures of this stream alone."""
        return TimelineMetrics((self.outcome,))


@dataclass(frozen=True)
class TimelineResult:
    """Result of all streams."""

    streams: tuple[PlayedStream, ...]
    learned_s: float
    """Training sound, of all machines; 0 with a given model."""
    rejected: tuple[Rejected, ...]
    """Training recordings that were not learned, with reasons."""
    model: Mapping[str, object]
    """Name, revision, file and SHA-256; or for quick-start how many were fitted."""
    alarm: AlarmSettings
    folder: Path
    command: str = ""

    @property
    def metrics(self) -> TimelineMetrics:
        """Figures of all streams."""
        return TimelineMetrics(tuple(stream.outcome for stream in self.streams))

    def name_of(self, outcome: StreamOutcome) -> str:
        """Return the name of a stream, with its machine if there are several."""
        several = len({stream.outcome.machine for stream in self.streams}) > 1
        return f"{outcome.machine}/{outcome.name}" if several else outcome.name

    def to_dict(self) -> dict[str, Any]:
        """Return the result, ready for ``json.dumps``."""
        by_stream = [
            {"machine": stream.outcome.machine, "name": stream.outcome.name}
            | stream.metrics.to_dict()
            | _describe_course(stream.outcome)
            for stream in self.streams
        ]
        timeline = self.metrics.to_dict() | {
            "learned_h": self.learned_s / 3600,
            "by_stream": by_stream,
        }
        return {
            "timeline": timeline,
            "rejected": [{"file": str(file.path), "reason": file.reason} for file in self.rejected],
            "model": dict(self.model),
            "alarm": self.alarm.model_dump(),
            "command": self.command,
        }


def _describe_course(outcome: StreamOutcome) -> dict[str, Any]:
    """Return every alarm and every fault of a stream."""
    return {
        "duration_s": outcome.duration_s,
        "alarm_list": [
            {
                "raised_s": alarm.raised_s,
                "cleared_s": alarm.cleared_s,
                "outcome": str(alarm.outcome),
                "rule": alarm.rule,
                "reason": alarm.reason,
                "score": alarm.score,
            }
            for alarm in outcome.alarms
        ],
        "fault_list": [
            {
                "start_s": fault.span.start_s,
                "end_s": fault.span.end_s,
                "label": fault.span.label,
                "details": dict(fault.span.details),
                "delay_s": fault.delay_s,
                "rule": fault.rule or None,
                "masked": fault.is_masked,
            }
            for fault in outcome.faults
        ],
    }
