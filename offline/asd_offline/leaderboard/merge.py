"""Put the runs of the same model on the same data together, whichever machine did them."""

import hashlib
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_offline.comparison.run_result import OVERALL
from asd_offline.evaluation.auc_interval import Interval, auc_interval, mean_interval
from asd_offline.leaderboard.documents import ModelValues, ResultDocument, RunValues

MIN_SEEDS = 4
"""A model that depends on random numbers is ranked if it has at least this number of seeds."""
AND = " and "
"""Between versions of a package where computers differ."""
MAX_NAMED = 3
"""Missing sections of a run that are named."""
TIE = 5e-4
"""Models that differ by less have the same rank: the page shows three decimals."""
TOLERANCE = 1e-3
"""Largest difference between metrics of the same run on two computers."""


@dataclass(frozen=True, slots=True)
class Source:
    """A run, and the document that it is from."""

    path: Path
    document: ResultDocument
    run: RunValues


@dataclass(frozen=True)
class Entry:
    """One model with one recipe on one dataset."""

    model: str
    recipe_key: str
    """Digest of the recipe; empty for a model without one."""
    values_of_model: ModelValues
    runs: tuple[RunValues, ...]
    """One for each seed, all usable."""

    @property
    def deterministic(self) -> bool:
        """Whether nothing about the model is random, so that one run is enough."""
        return self.values_of_model.deterministic

    @property
    def is_ranked(self) -> bool:
        """Whether there are enough seeds to compare its mean with others."""
        return len(self.runs) >= (1 if self.deterministic else MIN_SEEDS)

    def values(self, metric: str) -> list[float]:
        """Return a metric over all machines for each seed that has it."""
        found = [run.metrics.get(OVERALL, {}).get(metric) for run in self.runs]
        return [value for value in found if value is not None]

    def mean(self, metric: str) -> float | None:
        """Return the mean of a metric over seeds; None if a seed lacks it."""
        values = self.values(metric)
        return statistics.fmean(values) if len(values) == len(self.runs) > 0 else None

    def spread(self, metric: str) -> float | None:
        """Return the standard deviation of a metric over seeds; None with one seed."""
        values = self.values(metric)
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def clips_interval(self) -> Interval | None:
        """95 % interval of the mean AUC of the sections over the choice of test clips.

        Of the AUCs averaged over seeds, which are of the same clips.
        """
        names = list(self.runs[0].sections)
        if not names or any(list(run.sections) != names for run in self.runs):
            return None
        values, intervals = [], []
        for name in names:
            sections = [run.sections[name] for run in self.runs]
            values.append(statistics.fmean(section.auc for section in sections))
            first = sections[0]
            intervals.append(auc_interval(values[-1], first.normal_clips, first.anomalous_clips))
        return mean_interval(values, intervals)

    @property
    def mean_section_auc(self) -> float | None:
        """Arithmetic mean of the AUC over sections and seeds, to which the interval belongs."""
        values = [section.auc for run in self.runs for section in run.sections.values()]
        return statistics.fmean(values) if values else None


@dataclass(frozen=True)
class Board:
    """All models on one dataset."""

    name: str
    data_digest: str
    is_synthetic: bool
    year: int | None
    rules: int
    machines: tuple[str, ...]
    entries: tuple[Entry, ...]
    """The best first: by the challenge's score or else by AUC; those without enough seeds last."""
    failed: tuple[tuple[ModelValues, RunValues], ...]
    """Runs that failed or lack a section."""
    versions: Mapping[str, str]
    """By package; of several computers ``2.13 and 2.14`` where they differ."""

    def rank(self, entry: Entry) -> int | None:
        """Return the rank of an entry, the same for equal values; None if it is not ranked."""
        if not entry.is_ranked:
            return None
        metric = ranking_metric(self.year)
        values = [other.mean(metric) or 0.0 for other in self.entries if other.is_ranked]
        return 1 + sum(value - (entry.mean(metric) or 0.0) > TIE for value in values)

    @property
    def left_out(self) -> list[str]:
        """Return the runs that do not count, with reasons."""
        texts = []
        for model, run in self.failed:
            named = [f"{name}: {text}" for name, text in run.missing.items()]
            more = f"; {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
            reason = run.failure or "; ".join(named[:MAX_NAMED]) + more
            texts.append(f"{model.name or model.model}, seed {run.seed}: {reason}")
        return list(dict.fromkeys(texts))


def ranking_metric(year: int | None) -> str:
    """Return what models are ranked by: the challenge's score, or the AUC outside the challenge."""
    return "auc" if year is None else "score"


def to_document(board: Board) -> ResultDocument:
    """Return the runs of a board as one document, without paths of a computer."""
    runs = [(entry.values_of_model, run) for entry in board.entries for run in entry.runs]
    models: dict[tuple[str, str], ModelValues] = {}
    for model, run in [*runs, *board.failed]:
        key = model.model, recipe_key(model)
        known = models.get(key, model.model_copy(update={"runs": (), "recipe_source": None}))
        models[key] = known.model_copy(update={"runs": (*known.runs, run)})
    return ResultDocument(
        dataset=board.name,
        data_digest=board.data_digest,
        is_synthetic=board.is_synthetic,
        year=board.year,
        rules=board.rules,
        machines=board.machines,
        models=tuple(models.values()),
        versions=board.versions,
    )


def merge(documents: Sequence[tuple[Path, ResultDocument]]) -> list[Board]:
    """Return a board for each dataset, in the order of years and names.

    Runs of the same model, recipe and data are put together; a run that is in several documents
    counts once.

    Raises
    ------
    DatasetError
        If two documents give the same run other metrics.
    """
    groups: dict[str, list[tuple[Path, ResultDocument]]] = {}
    for path, document in documents:
        groups.setdefault(document.data_digest, []).append((path, document))
    boards = [_merge_group(group) for group in groups.values()]
    return sorted(boards, key=lambda board: (board.year is None, board.year or 0, board.name))


def _merge_group(group: Sequence[tuple[Path, ResultDocument]]) -> Board:
    _, first = group[0]
    runs: dict[tuple[str, str], dict[int, Source]] = {}
    models: dict[tuple[str, str], ModelValues] = {}
    failed: dict[tuple[str, str, int, str], tuple[ModelValues, RunValues]] = {}
    for path, document in group:
        if (document.year, document.rules) != (first.year, first.rules):
            msg = f"{path}: expected rules of {first.rules}, as in {group[0][0]}, found"
            raise DatasetError(f"{msg} {document.rules}; give both comparisons the same --year")
        for model in document.models:
            key = model.model, recipe_key(model)
            models.setdefault(key, model)
            for run in model.runs:
                if run.is_usable:
                    source = Source(path, document, run)
                    _add_run(runs.setdefault(key, {}), source, model.model)
                else:
                    failed[(*key, run.seed, run.failure or "")] = model, run
    entries = [_make_entry(models[key], key[1], found) for key, found in runs.items()]
    metric = ranking_metric(first.year)
    entries.sort(key=lambda entry: (not entry.is_ranked, -(entry.mean(metric) or 0), entry.model))
    return Board(
        Path(first.dataset).name,
        first.data_digest,
        first.is_synthetic,
        first.year,
        first.rules,
        first.machines,
        tuple(entries),
        tuple(failed.values()),
        _merge_versions([document for _, document in group]),
    )


def _merge_versions(documents: Sequence[ResultDocument]) -> dict[str, str]:
    """Return the versions of all documents; where they differ, ``2.13 and 2.14``."""
    found: dict[str, list[str]] = {}
    for document in documents:
        for name, versions in document.versions.items():
            known = found.setdefault(name, [])
            known += [each for each in versions.split(AND) if each not in known]
    return {name: AND.join(sorted(versions)) for name, versions in found.items()}


def _describe_versions(document: ResultDocument, other: ResultDocument) -> str:
    """Return which versions of two documents differ, as a clause; empty if none does."""
    names = sorted({*document.versions, *other.versions})
    pairs = [(name, document.versions.get(name), other.versions.get(name)) for name in names]
    differing = [f"{name} {here} and {there}" for name, here, there in pairs if here != there]
    return f" (with {', '.join(differing)})" if differing else ""


def _add_run(known: dict[int, Source], found: Source, model: str) -> None:
    run = found.run
    other = known.setdefault(run.seed, found)
    for machine, metrics in run.metrics.items():
        for name, value in metrics.items():
            expected = other.run.metrics.get(machine, {}).get(name)
            if (value is None) != (expected is None) or (
                value is not None
                and expected is not None
                and not math.isclose(value, expected, abs_tol=TOLERANCE)
            ):
                msg = f"{found.path}: {model}, seed {run.seed}, {machine}, {name}: expected "
                msg += f"{expected}, as in {other.path}, found {value}: the same recipe, seed and "
                msg += "data gave different results"
                versions = _describe_versions(found.document, other.document)
                raise DatasetError(f"{msg}{versions}; leave one of the files out")


def recipe_key(model: ModelValues) -> str:
    """Return a digest of a model's recipe, and of whether machines are separate.

    Empty if it has no recipe and machines are not separate.
    """
    if model.recipe is None and not model.each_machine:
        return ""
    text = json.dumps(model.recipe, sort_keys=True) + "each machine" * model.each_machine
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _make_entry(model: ModelValues, key: str, found: Mapping[int, Source]) -> Entry:
    runs = tuple(found[seed].run for seed in sorted(found))
    return Entry(model.model, key, model, runs)
