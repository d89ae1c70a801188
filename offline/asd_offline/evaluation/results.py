"""What an evaluation gives: figures of sections, machines and a year, and their JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from asd_offline.datasets.challenge_sets import SetName
from asd_offline.datasets.clip import Rejected


@dataclass(frozen=True, slots=True)
class ClipScore:
    """Score of one test clip (higher = more anomalous) with what is known of the clip."""

    file_name: str
    score: float
    label: int | None
    """0 = normal, 1 = anomaly, None = not known."""
    domain: str = ""
    """``source`` or ``target``; empty in 2020."""


@dataclass(frozen=True, slots=True)
class SectionMetrics:
    """One row of a table; None where a figure does not exist, for the ``reason`` if that is odd."""

    auc: float | None = None
    pauc: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    reason: str | None = None

    @property
    def values(self) -> tuple[float | None, ...]:
        """AUC, pAUC, precision, recall and F1, in the columns' order of the official tables."""
        return (self.auc, self.pauc, self.precision, self.recall, self.f1)


@dataclass(frozen=True, slots=True)
class Means:
    """Means over rows; those per domain and the official variants only where a year has them.

    ``official_*`` are the figures that the organisers' scripts of 2021 and 2022 print as "source
    harmonic mean" and "target harmonic mean" of a machine: they cut the list of rows at the wrong
    place (2022: source is only the first section). The plain ones are cut between the domains.
    """

    arithmetic: SectionMetrics
    harmonic: SectionMetrics
    source_harmonic: SectionMetrics | None = None
    target_harmonic: SectionMetrics | None = None
    official_source_harmonic: SectionMetrics | None = None
    official_target_harmonic: SectionMetrics | None = None


@dataclass(frozen=True, slots=True)
class SectionResult:
    """Metrics of one section (2020: machine id).

    2020 has ``whole`` only. 2021 has ``source`` and ``target``, each from its own clips. Since
    2022 ``whole`` is over all clips, and the AUC of a domain is of its normal clips against all
    anomalies of the section, while its precision, recall and F1 are of its own clips.
    """

    section: str
    clips: int
    whole: SectionMetrics | None = None
    source: SectionMetrics | None = None
    target: SectionMetrics | None = None
    reason: str | None = None
    """Why figures are missing; None if none are."""

    @property
    def figures(self) -> tuple[SectionMetrics, SectionMetrics, SectionMetrics]:
        """Metrics of the whole, of source and of target; empty ones where there are none."""
        return (
            self.whole or SectionMetrics(),
            self.source or SectionMetrics(),
            self.target or SectionMetrics(),
        )


@dataclass(frozen=True, slots=True)
class MachineResult:
    """Metrics of one machine type; ``score`` is the official formula over this machine alone."""

    machine: str
    sections: tuple[SectionResult, ...]
    means: Means
    score: float | None


@dataclass(frozen=True, slots=True)
class ChallengeResult:
    """Metrics of one system on one year's data, from which the JSON and the CSV are made."""

    year: int
    machines: tuple[MachineResult, ...]
    means: Means
    partial_score: float | None
    """The official formula over what is there; None if nothing is."""
    set_name: SetName | None
    """``dev`` or ``eval`` if all machines and sections belong to that set."""
    missing: tuple[str, ...]
    """What the set has and this result lacks: ``fan`` or ``fan section_03``."""
    ci95: float | None = None
    """Half width of a 95 % confidence interval of ``partial_score`` over test clips."""
    official_ci95: float | None = None
    """What the organisers' scripts of 2022 and 2023 print as "official score ci95"."""
    rejected: tuple[Rejected, ...] = field(default=())

    @property
    def official_score(self) -> float | None:
        """The year's official score; None unless every machine and section of the set is there."""
        return self.partial_score if self.set_name and not self.missing else None

    def to_json(self) -> dict[str, Any]:
        """Return a dict for ``json.dumps``; undefined figures are None, never NaN."""
        return {
            "year": self.year,
            "set": self.set_name,
            "official_score": self.official_score,
            "partial_score": self.partial_score,
            "ci95": self.ci95,
            "official_ci95": self.official_ci95,
            "missing": list(self.missing),
            **_means_json(self.means, self.year),
            "machines": {m.machine: _machine_json(m, self.year) for m in self.machines},
            "rejected": [{"file": str(r.path), "reason": r.reason} for r in self.rejected],
        }


def _machine_json(result: MachineResult, year: int) -> dict[str, Any]:
    return {
        "score": result.score,
        **_means_json(result.means, year),
        "sections": {s.section: _section_json(s, year) for s in result.sections},
    }


def _means_json(means: Means, year: int) -> dict[str, Any]:
    return {
        f"{f.name}_mean": _figures_json(figures, year)
        for f in fields(Means)
        if (figures := getattr(means, f.name)) is not None
    }


def _figures_json(figures: SectionMetrics, year: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"auc": figures.auc, "pauc": figures.pauc}
    if year != 2020:
        entry |= {"precision": figures.precision, "recall": figures.recall, "f1": figures.f1}
    if figures.reason:
        entry["reason"] = figures.reason
    return entry


def _section_json(result: SectionResult, year: int) -> dict[str, Any]:
    whole, source, target = result.figures
    entry: dict[str, Any]
    if year == 2020:
        entry = {"auc": whole.auc, "pauc": whole.pauc}
    elif year == 2021:
        entry = {"source": _figures_json(source, year), "target": _figures_json(target, year)}
        if source.auc is None and target.auc is None:
            entry |= {"auc": None}
    else:
        entry = {"auc": whole.auc, "auc_source": source.auc, "auc_target": target.auc}
        entry["pauc"] = whole.pauc
        for name in ("precision", "recall", "f1"):
            entry |= {
                f"{name}_source": getattr(source, name),
                f"{name}_target": getattr(target, name),
            }
    entry["clips"] = result.clips
    if result.reason:
        entry["reason"] = result.reason
    return entry


Scores = Mapping[str, Mapping[str, list[ClipScore]]]
Decisions = Mapping[str, Mapping[str, Mapping[str, int]]]
Reasons = Mapping[str, Mapping[str, str]]
