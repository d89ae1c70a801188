"""Means and spreads over seeds, and which model is clearly ahead."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from asd_offline.comparison.candidates import Candidate
from asd_offline.comparison.run_result import METRICS, OVERALL, Metrics, RunResult
from asd_offline.comparison.timing import ModelCost
from asd_offline.evaluation.rules import applicable_rules

SCHEMA = "asd-monitor/compare/1"
"""Version of the document; another number if the meaning of a member changes."""
MetricKey = tuple[str, str]
"""Machine (or ``all``) and name of a metric."""


@dataclass(frozen=True, slots=True)
class SeedValues:
    """One metric of one model over its seeds."""

    values: tuple[float, ...]
    deterministic: bool = False
    """Whether nothing about the model is random, so that there is only one value."""

    @property
    def mean(self) -> float:
        """Arithmetic mean over seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over seeds; None if a single seed leaves it unknown."""
        if len(self.values) > 1:
            return statistics.stdev(self.values)
        return 0.0 if self.deterministic else None


@dataclass(frozen=True)
class Run:
    """One model with one seed."""

    seed: int
    folder: Path
    """Everything about the run."""
    result: RunResult | None
    """None if it was not finished."""


@dataclass(frozen=True)
class ModelSummary:
    """All runs of one model."""

    candidate: Candidate
    runs: tuple[Run, ...] = ()
    cost: ModelCost | None = None

    @property
    def results(self) -> tuple[RunResult, ...]:
        """Results of the runs that succeeded."""
        return tuple(run.result for run in self.runs if run.result and run.result.failure is None)

    @cached_property
    def metrics(self) -> Mapping[MetricKey, SeedValues]:
        """Metrics that every successful run has.

        A metric over sections of which one is missing is left out, because it would be over other
        clips than that of the other models.
        """
        results = self.results
        metrics = {}
        for machine, values in results[0].metrics.items() if results else ():
            for name in values:
                by_seed = [_complete_metric(result, machine, name) for result in results]
                known = [value for value in by_seed if value is not None]
                if len(known) == len(by_seed):
                    deterministic = self.candidate.deterministic
                    metrics[machine, name] = SeedValues(tuple(known), deterministic)
        return metrics

    @property
    def failed(self) -> bool:
        """Whether something failed that should not have."""
        requested = self.candidate.requested
        if self.candidate.exclusion is not None:
            return requested
        return any(
            run.result is None
            or (run.result.failure is not None and (requested or not run.result.unsuitable))
            for run in self.runs
        )

    @property
    def training(self) -> SeedValues | None:
        """Seconds of training; None if there is none."""
        if self.candidate.deterministic or not self.results:
            return None
        return SeedValues(tuple(result.training_s for result in self.results))

    def remarks(self) -> list[str]:
        """Return failures and notes that a reader of the table must know, a sentence each."""
        if self.candidate.exclusion is not None:
            return [f"left out: {self.candidate.exclusion}"]
        seeds_by_reason: dict[str, list[int]] = {}
        for run in self.runs:
            result = run.result
            if result is None:
                seeds_by_reason.setdefault("not finished", []).append(run.seed)
            elif result.failure is not None:
                excused = result.unsuitable and not self.candidate.requested
                word = "left out" if excused else "failed"
                seeds_by_reason.setdefault(f"{word}: {result.failure}", []).append(run.seed)
        remarks = [
            reason
            if len(seeds) == len(self.runs)
            else f"seed {', '.join(map(str, seeds))} of {len(self.runs)}: {reason}"
            for reason, seeds in seeds_by_reason.items()
        ]
        for result in self.results[:1]:
            for reason in dict.fromkeys(result.missing.values()):
                sections = [name for name, other in result.missing.items() if other == reason]
                remarks.append(f"no metrics for {', '.join(sections)}: {reason}")
            remarks += result.notes
        return remarks


@dataclass(frozen=True)
class Comparison:
    """All models on one dataset."""

    dataset: Path
    machines: tuple[str, ...]
    seeds: int
    models: tuple[ModelSummary, ...]
    year: int | None = None
    """Year of the challenge; None for recordings that belong to none."""
    notes: tuple[str, ...] = ()
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    data_digest: str = ""
    """Digest of the clips' names, labels and sizes; equal where the same data are elsewhere."""
    is_synthetic: bool = False
    """Whether `synth` generated the clips."""
    each_machine: bool = False
    """Whether each machine was trained and scored separately."""

    @property
    def rules(self) -> int:
        """Year whose scoring rules were applied."""
        years = [result.rules for model in self.models for result in model.results]
        return years[0] if years else applicable_rules(self.year, has_domains=False).year

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics that a model has; only challenges have a score."""
        present = {name for model in self.models for _, name in model.metrics}
        names = METRICS if self.year is None else (*METRICS, "score")
        return tuple(name for name in names if name in present)

    @cached_property
    def clearly_best(self) -> Mapping[MetricKey, str]:
        """Name of the model that is clearly ahead in a metric, where there is one."""
        best = {}
        for key in {key for model in self.models for key in model.metrics}:
            values = {
                model.candidate.name: model.metrics[key]
                for model in self.models
                if key in model.metrics
            }
            if (name := find_clearly_best(values)) is not None:
                best[key] = name
        return best

    @property
    def ci95(self) -> float | None:
        """Median over models of the half width of the score's 95 % interval over test clips."""
        widths = [
            result.ci95
            for model in self.models
            for result in model.results
            if result.ci95 is not None
        ]
        return statistics.median(widths) if widths else None

    @property
    def failures(self) -> list[str]:
        """Names of the models of which something failed."""
        return [model.candidate.name for model in self.models if model.failed]

    def to_dict(self) -> dict[str, Any]:
        """Return one document for ``json.dumps``."""
        best, names = self.clearly_best, self.metric_names
        return {
            "schema": SCHEMA,
            "dataset": str(self.dataset),
            "data_digest": self.data_digest,
            "is_synthetic": self.is_synthetic,
            "year": self.year,
            "rules": self.rules,
            "machines": list(self.machines),
            "seeds": self.seeds,
            "metrics": list(names),
            "models": [
                _model_dict(model) | {"each_machine": self.each_machine} for model in self.models
            ],
            "clearly_best": {
                machine: {name: best[machine, name] for name in names if (machine, name) in best}
                for machine in (*self.machines, OVERALL)
            },
            "score_ci95_over_test_clips": self.ci95,
            "failed": self.failures,
            "notes": list(self.notes),
            "versions": dict(self.versions),
            "command": self.command,
        }


def find_clearly_best(values: Mapping[str, SeedValues]) -> str | None:
    """Return the model whose mean is above every other's by more than the spread of both.

    The spread of a difference is the root of the sum of both squared standard deviations. A
    deterministic model has no spread over seeds, but a lead of 0.001 is not worth a mark: it counts
    with the largest spread of the others. If a spread is unknown (a single seed of a model that is
    not deterministic), or no model has one, no model is clearly best.
    """
    spreads = [seeds.spread for seeds in values.values() if not seeds.deterministic]
    known = [spread for spread in spreads if spread is not None]
    if len(values) < 2 or not known or len(known) < len(spreads):
        return None
    spread_of = {
        model: max(known) if seeds.deterministic else seeds.spread or 0.0
        for model, seeds in values.items()
    }
    best = max(values, key=lambda model: values[model].mean)
    is_ahead = all(
        values[best].mean - other.mean > math.hypot(spread_of[best], spread_of[model])
        for model, other in values.items()
        if model != best
    )
    return best if is_ahead else None


def _complete_metric(result: RunResult, machine: str, name: str) -> float | None:
    """Return a metric; None if it is undefined or a section of it is missing."""
    if any(machine in (OVERALL, section.partition("/")[0]) for section in result.missing):
        return None
    metrics: Metrics = result.metrics.get(machine, {})
    return metrics.get(name)


def _model_dict(model: ModelSummary) -> dict[str, Any]:
    candidate, cost = model.candidate, model.cost
    metrics: dict[str, dict[str, Any]] = {}
    for (machine, name), seeds in model.metrics.items():
        metrics.setdefault(machine, {})[name] = _seeds_dict(seeds)
    first = model.results[0] if model.results else None
    return {
        "name": candidate.name,
        "model": candidate.model,
        "recipe": candidate.recipe.model_dump(mode="json") if candidate.recipe else None,
        "recipe_source": candidate.recipe_source or None,
        "deterministic": candidate.deterministic,
        "metrics": metrics,
        "parameters": first.parameters if first else None,
        "milliseconds_per_window": cost.milliseconds if cost else None,
        "window_s": first.window_s if first else None,
        "hop_s": first.hop_s if first else None,
        "model_bytes": cost.file_bytes if cost else None,
        "training_s": _seeds_dict(model.training) if model.training else None,
        "remarks": model.remarks(),
        "runs": [_run_dict(run) for run in model.runs],
    }


def _seeds_dict(seeds: SeedValues) -> dict[str, Any]:
    return {
        "mean": seeds.mean,
        "standard_deviation": seeds.spread if len(seeds.values) > 1 else None,
        "values": list(seeds.values),
    }


def _run_dict(run: Run) -> dict[str, Any]:
    result = run.result
    return {
        "folder": str(run.folder),
        "seed": run.seed,
        "failure": result.failure if result else "not finished",
        "sha256": result.sha256 if result else None,
        "parity": result.parity if result else None,
        "clips": result.clips if result else None,
        "training_s": result.training_s if result else None,
        "metrics": {name: dict(values) for name, values in result.metrics.items()}
        if result
        else {},
        "missing": dict(result.missing) if result else {},
        "ci95": result.ci95 if result else None,
        "sections": _section_dicts(result) if result else {},
    }


def _section_dicts(result: RunResult) -> dict[str, dict[str, Any]]:
    """Return AUC, number of clips of each class, and decisions of each section with an AUC."""
    sections = {}
    for machine, values in result.result.get("machines", {}).items():
        for name, section in values.get("sections", {}).items():
            alarm = section.get("alarm") or {}
            if section.get("auc") is not None and "anomalies" in alarm:
                sections[f"{machine}/{name}"] = {
                    "auc": section["auc"],
                    "normal_clips": alarm["normal_clips"],
                    "anomalous_clips": alarm["anomalies"],
                    "decisions": section.get("decisions", {}),
                    "detected": alarm.get("detected"),
                    "false_alarms": alarm.get("false_alarms"),
                    "normal_hours": alarm.get("normal_hours"),
                }
    return sections
