"""Folders of many teams give one table: ranks, official scores and scores of the machines."""

import csv
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from asd_monitor.commands.evaluate import evaluate
from asd_monitor.errors import DatasetError
from asd_offline.datasets import CHALLENGES
from tests.offline.synthetic_evaluation import EvaluationFiles, write_evaluation_files, write_scores

APP = typer.Typer()
APP.command()(evaluate)


@pytest.fixture
def files(tmp_path: Path) -> EvaluationFiles:
    """Teams b (better), a (worse), c (equal to a) and d (lacks a machine)."""
    files = write_evaluation_files(tmp_path, 2026)
    for team, gain in (("a", 0.1), ("b", 1.5), ("c", 0.1), ("d", 9.0)):
        changed = EvaluationFiles(2026, files.truth, tmp_path / "teams" / team / "system_1")
        for key, rows in files.clips.items():
            changed.clips[key] = [
                (name, label, domain, score + gain * label, decision)
                for name, label, domain, score, decision in rows
            ]
        write_scores(changed)
    (tmp_path / "teams" / "d" / "system_1" / "anomaly_score_Sander_section_00_test.csv").unlink()
    return files


def run(files: EvaluationFiles, *arguments: str) -> Result:
    scores = files.truth.parent / "teams"
    options = ["--year", str(files.year), "--ground-truth", str(files.truth), *arguments]
    return CliRunner().invoke(APP, [str(scores), *options])


def test_systems_are_ranked_by_their_official_score(files: EvaluationFiles) -> None:
    document = json.loads(run(files, "--json").stdout)
    rows = document["ranking"]
    assert [(row["rank"], row["team"]) for row in rows] == [
        (1, "b"),
        (2, "a"),
        (2, "c"),
        (None, "d"),
    ]
    by_name = {system["system"]: system for system in document["systems"]}
    for row in rows:
        system = by_name[f"{row['team']}_system_1"]
        assert row["official_score"] == system["official_score"]
        scores = {name: machine["score"] for name, machine in system["machines"].items()}
        assert row["machines"] == scores
        assert row["auc_source"] == system["source_harmonic_mean"]["auc"]
    assert rows[-1]["missing"] == ["Sander"]
    assert rows[-1]["official_score"] is None


def test_the_table_names_each_system_once_and_why_one_has_no_rank(files: EvaluationFiles) -> None:
    lines = run(files).stdout.splitlines()
    assert lines[0] == "4 systems, DCASE 2026 Task 2"
    ranked = [line.split()[:2] for line in lines if "/system_1 " in line]
    names = ["b/system_1", "a/system_1", "c/system_1", "d/system_1"]
    assert ranked == [list(pair) for pair in zip("122-", names, strict=True)]
    assert "d/system_1: no rank: lacks Sander; the score is that of the others" in lines


@pytest.mark.parametrize(("width", "tables"), [(140, 1), (80, 2)])
def test_a_narrow_terminal_gets_the_machines_in_a_second_table_and_no_cell_is_cut(
    files: EvaluationFiles, monkeypatch: pytest.MonkeyPatch, width: int, tables: int
) -> None:
    document = json.loads(run(files, "--json").stdout)
    monkeypatch.setattr("asd_monitor.terminal.tables.PIPE_WIDTH", width)
    text = run(files).stdout
    assert text.count("rank") == tables + 1  # "no rank" below the table
    assert "…" not in text
    for row in document["ranking"]:
        for score in row["machines"].values():
            assert f"{100 * score:.2f}" in text


def test_the_csv_has_the_same_values(files: EvaluationFiles, tmp_path: Path) -> None:
    document = json.loads(run(files, "--json", "--out", str(tmp_path / "out")).stdout)
    rows = list(csv.DictReader((tmp_path / "out" / "ranking.csv").read_text().splitlines()))
    assert json.loads((tmp_path / "out" / "ranking.json").read_text()) == document["ranking"]
    for row, expected in zip(rows, document["ranking"], strict=True):
        assert row["rank"] == str(expected["rank"] or "")
        assert row["partial_score"] == repr(expected["partial_score"])
        for machine in CHALLENGES[2026].sets["eval"]:
            assert row[machine] == (repr(expected["machines"].get(machine, "")) or "").strip("'")


def test_a_system_that_cannot_be_read_is_last_with_its_error(files: EvaluationFiles) -> None:
    broken = files.truth.parent / "teams" / "e" / "system_1"
    broken.mkdir(parents=True)
    (broken / "anomaly_score_Sander_section_00_test.csv").write_text("file_name,score\n")
    result = run(files)
    assert isinstance(result.exception, DatasetError)
    assert "e/system_1: cannot be read: row 1" in result.stdout
    assert json.loads(run(files, "--json").stdout)["ranking"][-1]["team"] == "e"
