"""Results of a replay: of each section and of the whole dataset."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from asd_monitor.detection.alarm import AlarmSettings
from asd_monitor.model_file.manifest import Manifest
from asd_offline.datasets import Clip, Rejected
from asd_offline.evaluation.results import ChallengeResult
from asd_offline.evaluation.rules import applicable_rules
from asd_offline.evaluation.rules.scoring_rules import ScoringRules
from asd_offline.replay.alarm_metrics import AlarmMetrics
from asd_offline.replay.plan import SectionPlan


@dataclass(frozen=True, slots=True)
class ClipResult:
    """Score of a test clip; higher = more anomalous."""

    clip: Clip
    value: float
    p_value: float | None


@dataclass(frozen=True)
class SectionReplay:
    """Result of one section."""

    plan: SectionPlan
    clips: tuple[ClipResult, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    """Training and test clips that could not be read or scored, with reasons."""
    reason: str | None = None
    """Why the section has no scores; None if it has."""
    channels: tuple[int, ...] = ()
    """Number of channels of each scored recording."""
    threshold: float | None = None
    """A clip is decided anomalous if its score is above this."""
    rule: str | None = None
    """How the threshold was determined."""
    alarm: AlarmMetrics | None = None
    manifest: Manifest | None = None
    sha256: str | None = None

    def decision(self, result: ClipResult) -> int | None:
        """Return 1 if a clip is decided anomalous, 0 if not, None without a threshold."""
        return None if self.threshold is None else int(result.value > self.threshold)

    def by_domain(self) -> dict[str, list[ClipResult]]:
        """Return the clips of each domain, in alphabetical order of the domains."""
        domains = sorted({result.clip.domain for result in self.clips})
        return {
            domain: [result for result in self.clips if result.clip.domain == domain]
            for domain in domains
        }


@dataclass(frozen=True)
class ReplayResult:
    """Result of a replay."""

    year: int | None
    """Year of the challenge; None for recordings that belong to none."""
    result: ChallengeResult
    sections: tuple[SectionReplay, ...]
    notes: tuple[str, ...]
    model: dict[str, Any]
    alarm: AlarmSettings
    command: str = ""
    """Command line of the replay; empty if it was called from Python."""

    def to_dict(self) -> dict[str, Any]:
        """Return the year's result with thresholds and alarm metrics, ready for ``json.dumps``."""
        document = self.result.to_dict() | {"year": self.year}
        for section in self.sections:
            entry = document["machines"][section.plan.machine]["sections"][section.plan.section]
            entry["threshold"] = section.threshold
            entry["threshold_rule"] = section.rule
            entry["alarm"] = section.alarm.to_dict() if section.alarm else None
        return document | {
            "model": self.model,
            "alarm": self.alarm.model_dump(),
            "notes": list(self.notes),
            "command": self.command,
        }


def select_rules(clips: Iterable[Clip], year: int | None) -> ScoringRules:
    """Return the scoring rules of a year, or for recordings of no challenge the ones that fit."""
    return applicable_rules(year, has_domains=any(clip.domain for clip in clips))
