"""What came of one model with one seed, and how it is kept on disk."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from asd_offline.evaluation.results import ChallengeResult, MachineResult
from asd_offline.evaluation.rules.scoring_rules import ScoringRules

Values = Mapping[str, float | None]
"""Metrics by name: auc, pauc, auc_source, auc_target, pauc_source, pauc_target, score."""
_METRICS = ("auc", "auc_source", "auc_target", "pauc", "pauc_source", "pauc_target")
_AUCS = ("auc", "auc_source", "auc_target")
OVERALL = "all"
"""In place of a machine: over all machines."""
FORMAT = 1
"""Raised whenever what is kept, or how it is got, changes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one model with one seed."""

    model: str
    seed: int
    failed: str | None = None
    """Why there is no result; None if there is."""
    refused: bool = False
    """Whether it failed because the model is not made for such data."""
    year: int | None = None
    rules: int = 0
    figures: Mapping[str, Values] = field(default_factory=dict)
    """By machine, and of all."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """Sections that could have figures and have none, with reasons."""
    clips: int = 0
    """Test clips that were scored."""
    ci95: float | None = None
    parameters: int = 0
    window_s: float | None = None
    hop_s: float | None = None
    training_s: float = 0.0
    """Of all epochs, without reading clips."""
    parity: float | None = None
    sha256: str | None = None
    notes: tuple[str, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
    """What ``replay --json`` prints."""

    def to_json(self) -> str:
        """Return what is kept."""
        return json.dumps(asdict(self) | {"format": FORMAT}, allow_nan=False, indent=1) + "\n"


def read_outcome(path: Path) -> Outcome | None:
    """Read what a job wrote; None if there is nothing, or nothing of use."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("format") != FORMAT:
            return None
        return Outcome(**found | {"notes": tuple(found["notes"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def figures_of(result: ChallengeResult) -> dict[str, dict[str, float | None]]:
    """Return the figures of each machine and of all, as the year's table has them."""
    found = {each.machine: _figures(each, each.score, result.rules) for each in result.machines}
    return found | {OVERALL: _figures(result, result.partial_score, result.rules)}


def _figures(
    of: MachineResult | ChallengeResult, score: float | None, rules: ScoringRules
) -> dict[str, float | None]:
    domains = {name for name in rules.table_metrics if "_" in name}
    names = [name for name in _METRICS if "_" not in name or name in domains]
    return {name: of.means.value(name, rules) for name in names} | {"score": score}


def lacking_sections(result: ChallengeResult, expected: Sequence[str]) -> dict[str, str]:
    """Return those of the expected sections that have no AUC, with the reason."""
    sections = {f"{m.machine}/{s.section}": s for m in result.machines for s in m.sections}
    lacking = {}
    for name in expected:
        section = sections.get(name)
        if section is None:
            lacking[name] = "not replayed"
        elif all(section.value(name) is None for name in _AUCS):
            lacking[name] = section.reason or "no figures"
    return lacking
