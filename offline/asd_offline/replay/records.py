"""Records that the jobs of a replay write, and their JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.detector import ClipScore
from asd_monitor.records import NOT_SCORED, Quality, Verdict, WindowScore
from asd_offline.datasets import Clip, Rejected

VOICE_DIGITS = 5
"""Decimals of the voices in result files; only evidence is computed from them."""


@dataclass(frozen=True, slots=True)
class ClipResult:
    """Result of one test clip: the scores of its windows and its own, or why it has none."""

    clip: Clip
    windows: tuple[WindowScore, ...] = ()
    """Dropped once they are evaluated, so that memory does not grow with the dataset."""
    value: float | None = None
    """Aggregated score of the windows, higher = more anomalous; None if the clip has none."""
    p_value: float | None = None
    """Probability that a window of normal sound scores at least as high, in (0, 1]."""
    sample_count: int = 0
    channels: int = 0
    """Number of channels of the file, of which one is scored."""
    rate_hz: int = 0
    """Sample rate of the file, before it is converted; 0 if it cannot be read."""
    reason: str | None = None
    """Why the clip has no score; None if it has one."""
    verdict: Verdict = NOT_SCORED
    """How it compares with normal sound; given when its windows are evaluated."""

    @classmethod
    def from_score(
        cls, clip: Clip, score: ClipScore, sample_count: int, channels: int, rate_hz: int
    ) -> Self:
        """Combine a clip with what the detector returned for it."""
        reason = None
        if score.value is None:
            qualities = ", ".join(sorted({str(window.quality) for window in score.windows}))
            reason = f"{clip.path}: no window of it could be scored: {qualities}"
        return cls(
            clip,
            score.windows,
            score.value,
            score.p_value,
            sample_count,
            channels,
            rate_hz,
            reason,
        )

    def to_json(self) -> str:
        """Return everything but the clip as one line."""
        return json.dumps(
            {
                "value": self.value,
                "p_value": self.p_value,
                "sample_count": self.sample_count,
                "channels": self.channels,
                "rate_hz": self.rate_hz,
                "reason": self.reason,
                "windows": {
                    "start": [window.window_start for window in self.windows],
                    "value": [window.value for window in self.windows],
                    "p_value": [window.p_value for window in self.windows],
                    "extrapolated": [window.extrapolated for window in self.windows],
                    "quality": [str(window.quality) for window in self.windows],
                    "level_dbfs": [window.level_dbfs for window in self.windows],
                    "voices": [
                        [round(voice, VOICE_DIGITS) for voice in window.voices]
                        for window in self.windows
                    ],
                },
            },
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str, clip: Clip, rule: DecisionRule) -> Self:
        """Restore a result from :meth:`to_json`; inference times are not kept.

        Parameters
        ----------
        text
            The line.
        clip
            The clip that it is about.
        rule
            Decision rule by which the clip was scored.
        """
        values = json.loads(text)
        columns = values.pop("windows").values()
        windows = tuple(
            WindowScore(
                machine=clip.machine,
                seq=index,
                window_start=start,
                captured_at=(start + rule.window_samples) / rule.sample_rate_hz,
                quality=Quality(quality),
                value=value,
                p_value=p_value,
                extrapolated=extrapolated,
                threshold=rule.threshold,
                level_dbfs=level_dbfs,
                lost_samples=0,
                inference_s=0.0,
                recording=clip.name,
                voices=tuple(voices),
            )
            for index, (
                start,
                value,
                p_value,
                extrapolated,
                quality,
                level_dbfs,
                voices,
            ) in enumerate(zip(*columns, strict=True))
        )
        return cls(clip=clip, windows=windows, **values)


@dataclass(frozen=True, slots=True)
class FitResult:
    """Result of fitting a section's detector."""

    sha256: str | None
    """SHA-256 of the model file; None if there is none."""
    reason: str | None = None
    """Why no detector could be fitted."""
    rejected: tuple[Rejected, ...] = ()
    """Training clips that cannot be read or have no sound."""

    def to_json(self) -> str:
        """Return the result as text."""
        rejected = [{"path": str(file.path), "reason": file.reason} for file in self.rejected]
        return json.dumps({"sha256": self.sha256, "reason": self.reason, "rejected": rejected})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Restore a result from :meth:`to_json`."""
        values = json.loads(text)
        rejected = tuple(Rejected(Path(f["path"]), f["reason"]) for f in values["rejected"])
        return cls(values["sha256"], values["reason"], rejected)
