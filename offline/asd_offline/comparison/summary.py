"""Means and spreads over seeds, and which model is clearly ahead."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asd_offline.comparison.candidates import Entry
from asd_offline.comparison.run_result import OVERALL, Outcome, Values
from asd_offline.comparison.timing import Speed
from asd_offline.evaluation.rules import applicable_rules

ORDER = ("auc", "auc_source", "auc_target", "pauc", "pauc_source", "pauc_target", "score")
Place = tuple[str, str]
"""Machine (or ``all``) and the name of a figure."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of one model over its seeds."""

    values: tuple[float, ...]
    exact: bool = False
    """Whether nothing about the model is random, so that one value is all there can be."""

    @property
    def mean(self) -> float:
        """Arithmetic mean over seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over seeds; None where a single seed cannot tell."""
        if len(self.values) > 1:
            return statistics.stdev(self.values)
        return 0.0 if self.exact else None


@dataclass(frozen=True)
class Ran:
    """One model with one seed, and the folder that has everything about it."""

    seed: int
    folder: Path
    outcome: Outcome | None
    """None if it was not finished."""


@dataclass(frozen=True)
class Row:
    """One model."""

    entry: Entry
    ran: tuple[Ran, ...] = ()
    speed: Speed | None = None

    @property
    def good(self) -> tuple[Outcome, ...]:
        """Outcomes that have figures."""
        return tuple(r.outcome for r in self.ran if r.outcome and r.outcome.failed is None)

    @property
    def cells(self) -> Mapping[Place, Cell]:
        """Every figure that all seeds with a result have.

        A figure over sections of which one has none is left out: it would be over other sound
        than that of the other models.
        """
        good, exact = self.good, self.entry.runs_once
        found = {}
        for machine, values in good[0].figures.items() if good else ():
            for name in values:
                seen = [_figure(each, machine, name) for each in good]
                known = [value for value in seen if value is not None]
                if len(known) == len(seen):
                    found[machine, name] = Cell(tuple(known), exact)
        return found

    @property
    def failed(self) -> bool:
        """Whether something failed that should not have."""
        if self.entry.why_not is not None:
            return self.entry.demanded
        bad = [r.outcome for r in self.ran if r.outcome is None or r.outcome.failed is not None]
        return any(each is None or self.entry.demanded or not each.refused for each in bad)

    @property
    def training(self) -> Cell | None:
        """Seconds of training; None where there is none."""
        if self.entry.runs_once or not self.good:
            return None
        return Cell(tuple(each.training_s for each in self.good))

    def remarks(self) -> list[str]:
        """Return what a reader of the table must know about this model, a sentence each."""
        if self.entry.why_not is not None:
            return [f"left out: {self.entry.why_not}"]
        reasons: dict[str, list[int]] = {}
        for each in self.ran:
            outcome = each.outcome
            if outcome is None:
                reasons.setdefault("not finished", []).append(each.seed)
            elif outcome.failed is not None:
                word = "left out" if outcome.refused and not self.entry.demanded else "failed"
                reasons.setdefault(f"{word}: {outcome.failed}", []).append(each.seed)
        found = [_for_seeds(why, seeds, len(self.ran)) for why, seeds in reasons.items()]
        for outcome in self.good[:1]:
            for why in dict.fromkeys(outcome.lacking.values()):
                sections = [name for name, other in outcome.lacking.items() if other == why]
                found.append(f"no figures for {', '.join(sections)}: {why}")
            found += outcome.notes
        return found


@dataclass(frozen=True)
class Comparison:
    """All models on one dataset."""

    dataset: Path
    machines: tuple[str, ...]
    seeds: int
    rows: tuple[Row, ...]
    year: int | None = None
    """Of the challenge; None for recordings that follow none."""
    notes: tuple[str, ...] = ()
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def rules(self) -> int:
        """Year whose rules the figures follow."""
        known = [each.rules for row in self.rows for each in row.good]
        return known[0] if known else applicable_rules(self.year, has_domains=False).year

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the figures that there are."""
        present = {name for row in self.rows for _, name in row.cells}
        unofficial = {"score"} if self.year is None else set()
        return tuple(name for name in ORDER if name in present - unofficial)

    @property
    def best(self) -> Mapping[Place, str]:
        """The model that is clearly ahead in a figure, where there is one."""
        cells = {row.entry.model: row.cells for row in self.rows}
        found = {}
        for place in {place for own in cells.values() for place in own}:
            column = {model: own[place] for model, own in cells.items() if place in own}
            if (ahead := clearly_best(column)) is not None:
                found[place] = ahead
        return found

    @property
    def ci95(self) -> float | None:
        """Median over models of the score's 95 % interval over test clips (half its width)."""
        widths = [each.ci95 for row in self.rows for each in row.good if each.ci95 is not None]
        return statistics.median(widths) if widths else None

    @property
    def failures(self) -> list[str]:
        """Models of which something failed."""
        return [row.entry.model for row in self.rows if row.failed]

    def to_json(self) -> dict[str, Any]:
        """Return one document for ``json.dumps``."""
        best = self.best
        return {
            "dataset": str(self.dataset),
            "year": self.year,
            "rules": self.rules,
            "machines": list(self.machines),
            "seeds": self.seeds,
            "figures": list(self.names),
            "models": [_row_json(row) for row in self.rows],
            "clearly_best": {
                machine: {
                    name: best[machine, name] for name in self.names if (machine, name) in best
                }
                for machine in (*self.machines, OVERALL)
            },
            "score_ci95_over_test_clips": self.ci95,
            "failed": self.failures,
            "notes": list(self.notes),
            "versions": dict(self.versions),
            "command": self.command,
        }


def clearly_best(column: Mapping[str, Cell]) -> str | None:
    """Return the model whose mean is above every other's by more than the spread of both.

    The spread of a difference is the root of the sum of both squared standard deviations. A model
    without chance has none over seeds, which does not make a lead of 0.001 worth a mark: it counts
    with the largest of the others. Where a spread is not known (a single seed of a model with
    chance in it), or no model has one, nobody is clearly best; nobody is best alone.
    """
    spreads = [each.spread for each in column.values() if not each.exact]
    known = [each for each in spreads if each is not None]
    if len(column) < 2 or not known or len(known) < len(spreads):
        return None
    of = {name: max(known) if c.exact else c.spread or 0.0 for name, c in column.items()}
    best = max(column, key=lambda model: column[model].mean)
    ahead = all(
        column[best].mean - other.mean > math.hypot(of[best], of[model])
        for model, other in column.items()
        if model != best
    )
    return best if ahead else None


def _figure(outcome: Outcome, machine: str, name: str) -> float | None:
    if any(machine in (OVERALL, section.partition("/")[0]) for section in outcome.lacking):
        return None
    values: Values = outcome.figures.get(machine, {})
    return values.get(name)


def _for_seeds(why: str, seeds: Sequence[int], count: int) -> str:
    if len(seeds) == count:
        return why
    return f"seed {', '.join(map(str, seeds))} of {count}: {why}"


def _row_json(row: Row) -> dict[str, Any]:
    entry, speed = row.entry, row.speed
    figures: dict[str, dict[str, Any]] = {}
    for (machine, name), cell in row.cells.items():
        figures.setdefault(machine, {})[name] = _cell_json(cell)
    first = row.good[0] if row.good else None
    return {
        "model": entry.model,
        "recipe": entry.recipe.model_dump(mode="json") if entry.recipe else None,
        "recipe_from": entry.source or None,
        "runs_once": entry.runs_once,
        "figures": figures,
        "parameters": first.parameters if first else None,
        "milliseconds_per_window": speed.milliseconds if speed else None,
        "window_s": first.window_s if first else None,
        "hop_s": first.hop_s if first else None,
        "model_bytes": speed.file_bytes if speed else None,
        "training_s": _cell_json(row.training) if row.training else None,
        "remarks": row.remarks(),
        "runs": [_ran_json(each) for each in row.ran],
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    return {
        "mean": cell.mean,
        "standard_deviation": cell.spread if len(cell.values) > 1 else None,
        "values": list(cell.values),
    }


def _ran_json(ran: Ran) -> dict[str, Any]:
    outcome = ran.outcome
    return {
        "folder": str(ran.folder),
        "seed": ran.seed,
        "failed": outcome.failed if outcome else "not finished",
        "sha256": outcome.sha256 if outcome else None,
        "parity": outcome.parity if outcome else None,
        "clips": outcome.clips if outcome else None,
        "training_s": outcome.training_s if outcome else None,
    }
