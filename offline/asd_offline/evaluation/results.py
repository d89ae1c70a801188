"""Results of an evaluation: metrics of sections, machines and a challenge, and their JSON."""

from dataclasses import dataclass, field, fields
from typing import Any

from asd_offline.datasets.challenge import SetName
from asd_offline.datasets.clip import Rejected
from asd_offline.evaluation.auc_interval import Interval
from asd_offline.evaluation.rules.scoring_rules import METRICS, ScoringRules


@dataclass(frozen=True, slots=True)
class SectionMetrics:
    """Metrics of a section or of one of its domains, or means of such.

    A metric that does not exist is None, with a ``reason`` where it should exist.
    """

    auc: float | None = None
    pauc: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    reason: str | None = None

    @property
    def values(self) -> dict[str, float | None]:
        """The metrics by name, in the order of `METRICS`."""
        return {name: getattr(self, name) for name in METRICS}


@dataclass(frozen=True, slots=True)
class Means:
    """Means over rows; those per domain and the official variants only if the year has them.

    ``official_*`` are what the organisers' scripts of 2021 and 2022 print as "source harmonic mean"
    and "target harmonic mean" of a machine: they divide the list of rows at the wrong index (2022:
    source is only the first section). The plain ones are divided between the domains.
    """

    arithmetic: SectionMetrics
    harmonic: SectionMetrics
    source_harmonic: SectionMetrics | None = None
    target_harmonic: SectionMetrics | None = None
    official_source_harmonic: SectionMetrics | None = None
    official_target_harmonic: SectionMetrics | None = None

    def over_all(self, rules: ScoringRules) -> SectionMetrics:
        """Return the means over all rows, of the kind that the official score is."""
        return self.arithmetic if rules.mean == "arithmetic" else self.harmonic

    def value(self, name: str, rules: ScoringRules) -> float | None:
        """Return the mean of a metric, such as ``auc`` or ``auc_source``; None if there is none."""
        return _value(name, self.over_all(rules), self.source_harmonic, self.target_harmonic)


@dataclass(frozen=True, slots=True)
class SectionResult:
    """Metrics of one section (2020: machine id), whole and by domain as the rules define."""

    section: str
    clips: int
    overall: SectionMetrics | None = None
    source: SectionMetrics | None = None
    target: SectionMetrics | None = None
    reason: str | None = None
    """Why metrics are missing; None if none are."""
    auc_ci95: Interval | None = None
    """95 % interval of the AUC over the choice of test clips; None without an AUC."""

    def value(self, name: str) -> float | None:
        """Return a metric, such as ``auc`` or ``auc_source``; None if there is none."""
        return _value(name, self.overall, self.source, self.target)

    def score_parts(self, rules: ScoringRules) -> list[float | None]:
        """Return the metrics that enter the official score."""
        return [self.value(name) for name in rules.score_parts]


@dataclass(frozen=True, slots=True)
class MachineResult:
    """Metrics of one machine type; ``score`` is the official formula over this machine alone."""

    machine: str
    sections: tuple[SectionResult, ...]
    means: Means
    score: float | None


@dataclass(frozen=True, slots=True)
class ChallengeResult:
    """Metrics of one system on the data of one challenge."""

    rules: ScoringRules
    machines: tuple[MachineResult, ...]
    means: Means
    partial_score: float | None
    """The official formula over the sections that have their metrics; None if none have."""
    set_name: SetName | None
    """``dev`` or ``eval`` if all machines and sections belong to that set."""
    missing: tuple[str, ...]
    """What the set has and this result lacks: ``fan`` or ``fan section_03``."""
    ci95: float | None = None
    """Half width of a 95 % confidence interval of ``partial_score`` over test clips; None with too
    few clips, and where no clip changes the score."""
    official_ci95: float | None = None
    """What the organisers' scripts since 2022 print as "official score ci95"."""
    rejected: tuple[Rejected, ...] = field(default=())

    @property
    def year(self) -> int:
        """Year whose rules were applied."""
        return self.rules.year

    @property
    def official_score(self) -> float | None:
        """The official score; None unless every machine and section of the set is present."""
        return self.partial_score if self.set_name and not self.missing else None

    def to_dict(self) -> dict[str, Any]:
        """Return a dict for ``json.dumps``; undefined metrics are None, never NaN."""
        return {
            "year": self.year,
            "set": self.set_name,
            "official_score": self.official_score,
            "partial_score": self.partial_score,
            "ci95": self.ci95,
            "official_ci95": self.official_ci95,
            "missing": list(self.missing),
            **_means_dict(self.means, self.rules),
            "machines": {m.machine: _machine_dict(m, self.rules) for m in self.machines},
            "rejected": [{"file": str(r.path), "reason": r.reason} for r in self.rejected],
        }


def _value(
    name: str,
    overall: SectionMetrics | None,
    source: SectionMetrics | None,
    target: SectionMetrics | None,
) -> float | None:
    metric, _, domain = name.partition("_")
    row = {"": overall, "source": source, "target": target}[domain]
    return None if row is None else row.values[metric]


def _machine_dict(result: MachineResult, rules: ScoringRules) -> dict[str, Any]:
    return {
        "score": result.score,
        **_means_dict(result.means, rules),
        "sections": {s.section: _section_dict(s, rules) for s in result.sections},
    }


def _means_dict(means: Means, rules: ScoringRules) -> dict[str, Any]:
    return {
        f"{mean.name}_mean": {name: row.values[name] for name in rules.metrics}
        for mean in fields(Means)
        if (row := getattr(means, mean.name)) is not None
    }


def _section_dict(result: SectionResult, rules: ScoringRules) -> dict[str, Any]:
    entry: dict[str, Any] = {name: result.value(name) for name in rules.section_metrics}
    entry["clips"] = result.clips
    if result.auc_ci95 is not None:
        entry["auc_ci95"] = list(result.auc_ci95)
    if result.reason:
        entry["reason"] = result.reason
    return entry
