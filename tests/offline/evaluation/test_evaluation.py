"""Tables of every year agree, cell by cell, with the official rules computed by scikit-learn."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from asd_monitor.errors import DatasetError
from asd_offline.datasets import CHALLENGES
from asd_offline.datasets.challenge import SetName
from asd_offline.datasets.ground_truth import read_ground_truth
from asd_offline.evaluation.challenge_score import evaluate_scores, evaluate_submission
from asd_offline.evaluation.official_csv import official_csv
from asd_offline.evaluation.results import ChallengeResult
from asd_offline.evaluation.rules import RULES, scoring_rules
from asd_offline.evaluation.rules.scoring_rules import METRICS
from asd_offline.evaluation.section_scores import SectionScores
from asd_offline.evaluation.submission import read_submission
from tests.offline.official_reference import official_table
from tests.offline.synthetic_evaluation import EvaluationFiles, write_evaluation_files


def evaluate(files: EvaluationFiles) -> ChallengeResult:
    truth = read_ground_truth(files.truth, files.year)
    return evaluate_submission(read_submission("system_1", files.scores, truth), truth)


def make_clips(
    count: int = 6, domains: tuple[str, ...] = ("source", "target"), seed: int = 0
) -> SectionScores:
    """Return clips of both classes whose scores have no ties."""
    clips = [(domain, i) for domain in domains for i in range(count)]
    return SectionScores.from_columns(
        score=[math.sin(seed + 7 * i + len(domain)) + i % 2 for domain, i in clips],
        label=[i % 2 for _, i in clips],
        domain=[domain for domain, _ in clips],
    )


def with_source_clip(clips: SectionScores, score: float, label: int | None) -> SectionScores:
    return SectionScores.from_columns(
        score=[score, *clips.score],
        label=[label, *clips.label],
        domain=["source", *clips.domain],
    )


def complete_set(year: int, name: SetName = "eval") -> dict[str, dict[str, SectionScores]]:
    domains = CHALLENGES[year].domains or ("",)
    return {
        machine: {s: make_clips(6, domains, seed) for seed, s in enumerate(sections)}
        for machine, sections in CHALLENGES[year].sets[name].items()
    }


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("year", CHALLENGES)
def test_official_csv_equals_the_reference_in_every_cell(
    tmp_path: Path, year: int, seed: int
) -> None:
    files = write_evaluation_files(tmp_path, year, seed)
    rows = list(csv.reader(official_csv(evaluate(files)).splitlines()))
    expected = official_table(files)
    assert len(rows) == len(expected)
    for row, expected_row in zip(rows, expected, strict=True):
        assert len(row) == len(expected_row)
        for cell, value in zip(row, expected_row, strict=True):
            if isinstance(value, str):
                assert cell == value
            else:
                assert float(cell) == pytest.approx(float(value), abs=1e-12)


@pytest.mark.parametrize("year", CHALLENGES)
def test_csv_and_json_have_full_precision_and_the_same_metrics(tmp_path: Path, year: int) -> None:
    result = evaluate(write_evaluation_files(tmp_path, year))
    document = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    official = document["official_score"]
    assert official == document["partial_score"] == result.official_score
    if year != 2020:
        assert f"official score,,{official!r}\n" in official_csv(result)
    machine, sections = next(iter(CHALLENGES[year].sets["eval"].items()))
    first = document["machines"][machine]
    section = next(iter(first["sections"].values()))
    shape = {
        2020: {"auc", "pauc"},
        2021: {f"{name}_{domain}" for name in METRICS for domain in ("source", "target")},
    }
    assert shape.get(year, {"auc_source", "auc_target", "pauc"}) <= set(section)
    assert {"arithmetic_mean", "harmonic_mean", "score"} <= set(first)
    assert tuple(first["sections"]) == sections


def test_wrong_official_means_are_reported_alongside_the_right_ones(tmp_path: Path) -> None:
    machine = evaluate(write_evaluation_files(tmp_path, 2022)).machines[0]
    first = machine.sections[0].source
    means = machine.means
    assert first is not None
    assert means.official_source_harmonic is not None
    assert means.source_harmonic is not None
    assert means.official_source_harmonic.auc == pytest.approx(first.auc)
    sources = [s.source.auc for s in machine.sections if s.source and s.source.auc]
    right = len(sources) / sum(1 / value for value in sources)
    assert means.source_harmonic.auc == pytest.approx(right)
    assert means.source_harmonic.auc != pytest.approx(first.auc)


@pytest.mark.parametrize("year", [2020, 2023])
def test_without_decisions_only_their_cells_are_empty(year: int) -> None:
    result = evaluate_scores(RULES[year], complete_set(year))
    assert result.official_score is not None
    assert result.means.arithmetic.auc is not None
    assert result.means.arithmetic.f1 is None
    assert "nan" not in official_csv(result).lower()


@pytest.mark.parametrize("name", ["dev", "eval"])
@pytest.mark.parametrize("year", CHALLENGES)
def test_official_score_needs_every_machine_and_section_of_its_set(
    year: int, name: SetName
) -> None:
    scores = complete_set(year, name)
    complete = evaluate_scores(RULES[year], scores)
    assert complete.set_name == name
    assert complete.official_score == complete.partial_score is not None
    machine = next(iter(scores))
    for lacking in (
        {m: s for m, s in scores.items() if m != machine},
        {
            **scores,
            machine: {**scores[machine], next(iter(scores[machine])): SectionScores.from_columns()},
        },
    ):
        partial = evaluate_scores(RULES[year], lacking)
        assert partial.official_score is None
        assert partial.partial_score is not None
        assert any(entry.startswith(machine) for entry in partial.missing)


def test_machines_of_both_sets_or_of_none_have_no_official_score() -> None:
    both = {m: {**s, **complete_set(2020, "dev")[m]} for m, s in complete_set(2020).items()}
    for scores in (both, {"compressor": {"section_00": make_clips()}}, {}):
        result = evaluate_scores(RULES[2020], scores)
        assert result.set_name is None
        assert result.official_score is None
    assert evaluate_scores(RULES[2020], {}).partial_score is None


def test_a_section_without_usable_scores_is_null_with_the_reason() -> None:
    one_class = SectionScores.from_columns([0.0, 1.0, 2.0], [0, 0, 0], ["source"] * 3)
    unlabelled = with_source_clip(make_clips(), 1.0, None)
    not_finite = with_source_clip(make_clips(), math.nan, 1)
    scores = {
        "fan": {"section_00": one_class, "section_01": unlabelled, "section_02": not_finite},
        "valve": {"section_00": make_clips()},
    }
    reasons = {"fan": {"section_03": "no training clips"}}
    for year in (2021, 2022):
        document = evaluate_scores(RULES[year], scores, reasons=reasons).to_dict()
        json.dumps(document, allow_nan=False)
        sections = document["machines"]["fan"]["sections"]
        for section in sections.values():
            assert section["auc_source"] is None
        section_reasons = [sections[f"section_0{number}"]["reason"] for number in range(4)]
        assert "no anomalous clips" in section_reasons[0]
        assert re.search("1 of (7|13) clips have no label", section_reasons[1])
        assert "1 scores are not finite" in section_reasons[2]
        assert section_reasons[3] == "no training clips"


@pytest.mark.parametrize("year", [2020, 2022])
def test_sections_without_metrics_do_not_change_the_score_of_the_others(year: int) -> None:
    nothing = SectionScores.from_columns()
    fan = {"section_00": nothing, "section_01": make_clips()}
    scores = {"fan": fan, "valve": {"section_00": nothing}}
    partial = evaluate_scores(RULES[year], scores)
    alone = evaluate_scores(RULES[year], {"fan": {"section_01": make_clips()}})
    assert partial.partial_score == alone.partial_score is not None
    assert partial.ci95 == alone.ci95 is not None
    assert partial.official_ci95 == alone.official_ci95


def test_order_of_clips_does_not_matter() -> None:
    scores = complete_set(2022)
    reversed_scores = {
        m: {s: c.select(np.arange(len(c.score))[::-1]) for s, c in sections.items()}
        for m, sections in scores.items()
    }
    forward, backward = (
        evaluate_scores(RULES[2022], scores),
        evaluate_scores(RULES[2022], reversed_scores),
    )
    assert official_csv(forward) == official_csv(backward)


def test_only_the_requested_machines_are_reported_in_that_order() -> None:
    result = evaluate_scores(RULES[2020], complete_set(2020), machines=["valve", "fan"])
    assert [machine.machine for machine in result.machines] == ["valve", "fan"]
    assert result.official_score is None


def test_later_years_are_refused() -> None:
    year = max(CHALLENGES) + 1
    with pytest.raises(DatasetError, match=str(year)):
        scoring_rules(year)
