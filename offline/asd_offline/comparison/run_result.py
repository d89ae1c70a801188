"""Result of one model with one seed, and its file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from asd_offline.evaluation.results import ChallengeResult, MachineResult
from asd_offline.evaluation.rules.scoring_rules import ScoringRules

Metrics = Mapping[str, float | None]
"""Values of ``METRICS`` and of ``score``, by name; None where undefined."""
METRICS = ("auc", "auc_source", "auc_target", "pauc", "pauc_source", "pauc_target")
AUCS = METRICS[:3]
OVERALL = "all"
"""Represents all machines."""
FORMAT = 2
"""Increased whenever the file or the meaning of a value changes."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """Result of one model with one seed."""

    model: str
    seed: int
    failure: str | None = None
    """Why the run failed; None if it succeeded."""
    unsuitable: bool = False
    """Whether it failed because the model is not made for such data."""
    year: int | None = None
    rules: int = 0
    """Year whose scoring rules were applied."""
    metrics: Mapping[str, Metrics] = field(default_factory=dict)
    """By machine, and over all machines."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Sections without an AUC that could have one, with reasons."""
    clips: int = 0
    """Number of test clips that were scored."""
    ci95: float | None = None
    parameters: int = 0
    window_s: float | None = None
    hop_s: float | None = None
    training_s: float = 0.0
    """Duration of all epochs, without reading clips."""
    parity: float | None = None
    """Largest difference between the scores of the network and of the exported file."""
    sha256: str | None = None
    notes: tuple[str, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
    """Document that ``replay --json`` prints."""

    def to_json(self) -> str:
        """Return the content of the file."""
        return json.dumps(asdict(self) | {"format": FORMAT}, allow_nan=False, indent=1) + "\n"


def read_run_result(path: Path) -> RunResult | None:
    """Read the result of a job; None if there is none that this version can use."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            return None
        return RunResult(**values | {"notes": tuple(values["notes"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def metrics_by_machine(result: ChallengeResult) -> dict[str, Metrics]:
    """Return the metrics of each machine and over all, as the challenge's table has them."""
    rules = result.rules
    metrics = {
        machine.machine: _metrics(machine, machine.score, rules) for machine in result.machines
    }
    return metrics | {OVERALL: _metrics(result, result.partial_score, rules)}


def _metrics(
    result: MachineResult | ChallengeResult, score: float | None, rules: ScoringRules
) -> Metrics:
    names = [name for name in METRICS if "_" not in name or name in rules.table_metrics]
    return {name: result.means.value(name, rules) for name in names} | {"score": score}


def missing_sections(result: ChallengeResult, expected: Sequence[str]) -> dict[str, str]:
    """Return which of the expected sections have no AUC, with reasons.

    Parameters
    ----------
    result
        Metrics of all sections.
    expected
        Sections such as ``fan/id_00``.
    """
    sections = {f"{m.machine}/{s.section}": s for m in result.machines for s in m.sections}
    missing = {}
    for name in expected:
        section = sections.get(name)
        if section is None:
            missing[name] = "not replayed"
        elif all(section.value(metric) is None for metric in AUCS):
            missing[name] = section.reason or "no metrics"
    return missing
