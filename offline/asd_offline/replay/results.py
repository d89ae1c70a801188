"""Results of a replay: of each section and of the whole dataset."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.model_file.manifest import Manifest
from asd_offline.datasets import Rejected
from asd_offline.evaluation.results import ChallengeResult
from asd_offline.evaluation.section_scores import SectionScores
from asd_offline.replay.alarm_metrics import AlarmMetrics
from asd_offline.replay.decisions import ClipDecisions, ThresholdSource
from asd_offline.replay.plan import SectionPlan
from asd_offline.replay.records import ClipResult

LABEL_NAMES = {0: "normal", 1: "anomalous", None: "unlabelled"}


@dataclass(frozen=True)
class SectionReplay:
    """Result of one section."""

    plan: SectionPlan
    clips: tuple[ClipResult, ...] = ()
    """Test clips that have a score."""
    rejected: tuple[Rejected, ...] = ()
    """Training and test clips that could not be read or scored, with reasons."""
    reason: str | None = None
    """Why the section has no scores; None if it has."""
    threshold: float | None = None
    """A clip is decided anomalous if its score is above this."""
    threshold_rule: str | None = None
    """How the threshold was determined."""
    threshold_source: str = ""
    """``model`` or ``gamma``, as chosen for the replay."""
    rules: Mapping[str, str] = field(default_factory=dict)
    """What gives a warning and what an alarm, by the name of the rule."""
    alarm: AlarmMetrics | None = None
    """None if the model has no threshold for the section."""
    manifest: Manifest | None = None
    """Manifest of the model file that scored the section."""
    decisions: Mapping[ThresholdSource, ClipDecisions] = field(default_factory=dict)
    """Decisions by each rule for the threshold, whichever was chosen for the replay."""

    @cached_property
    def scores(self) -> SectionScores:
        """The clips as arrays, with their decisions."""
        return SectionScores.from_columns(
            score=[result.value for result in self.clips if result.value is not None],
            label=[result.clip.label for result in self.clips],
            domain=[result.clip.domain for result in self.clips],
            decision=[self.decision(result) for result in self.clips],
        )

    def decision(self, result: ClipResult) -> int | None:
        """Return 1 if a clip is decided anomalous, 0 if not, None without score or threshold."""
        if result.value is None or self.threshold is None:
            return None
        return int(result.value > self.threshold)

    def count_verdicts(self) -> dict[str, dict[str, int]]:
        """Return for each label of clips how many have which verdict."""
        counts: dict[str, Counter[str]] = {}
        for result in self.clips:
            label = LABEL_NAMES[result.clip.label]
            counts.setdefault(label, Counter())[result.verdict.word] += 1
        return {label: dict(counter.most_common()) for label, counter in counts.items()}


@dataclass(frozen=True)
class ReplayResult:
    """Result of a replay."""

    year: int | None
    """Year of the challenge; None for recordings that belong to none."""
    challenge: ChallengeResult
    """Metrics as the challenge defines them."""
    sections: tuple[SectionReplay, ...]
    notes: tuple[str, ...]
    model: dict[str, Any]
    """Name, revision, file and SHA-256; or for quick-start how many were fitted."""
    alarm: AlarmSettings
    command: str = ""
    """Command line of the replay; empty if it was called from Python."""

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics with thresholds and alarm metrics, ready for ``json.dumps``."""
        document = self.challenge.to_dict() | {"year": self.year}
        for section in self.sections:
            entry = document["machines"][section.plan.machine]["sections"][section.plan.section]
            entry["threshold"] = section.threshold
            entry["threshold_rule"] = section.threshold_rule
            entry["decisions"] = {
                source: decided.to_dict() for source, decided in section.decisions.items()
            }
            entry["verdicts"] = section.count_verdicts()
            entry["alarm"] = section.alarm.to_dict() if section.alarm else None
        return document | {
            "model": self.model,
            "alarm": self.alarm.model_dump(),
            "notes": list(self.notes),
            "command": self.command,
        }
