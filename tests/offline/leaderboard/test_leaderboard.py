"""Results of comparisons on several computers become one leaderboard."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.errors import DatasetError
from asd_offline.leaderboard.documents import encode_document, read_document
from asd_offline.leaderboard.merge import Board, merge, to_document
from asd_offline.leaderboard.page import render_page
from tests.offline.compared_models import Compared


def run(seed: int, auc: float, **others: Any) -> dict[str, Any]:  # noqa: ANN401
    section = {"auc": auc, "normal_clips": 20, "anomalous_clips": 20}
    section |= {"detected": 15, "false_alarms": 1, "normal_hours": 0.5}
    section |= others.pop("section", {})
    metrics = {"fan": {"auc": auc, "pauc": 0.6}, "all": {"auc": auc, "pauc": 0.6, "score": auc}}
    return {"seed": seed, "metrics": metrics, "sections": {"fan/id_00": section}} | others


def model(name: str, *runs: dict[str, Any], deterministic: bool = False) -> dict[str, Any]:
    recipe = None if deterministic else {"epochs": 5}
    return {"model": name, "recipe": recipe, "deterministic": deterministic, "runs": runs}


def document(*models: dict[str, Any], **others: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "schema": "asd-monitor/compare/1",
        "dataset": "/somewhere/data/plant",
        "data_digest": "ab" * 32,
        "year": None,
        "rules": 2020,
        "machines": ["fan"],
        "models": models,
        "versions": {"torch": "2"},
    } | others


def merge_all(folder: Path, *documents: dict[str, Any]) -> list[Board]:
    paths = [folder / f"{number}.json" for number in range(len(documents))]
    for path, content in zip(paths, documents, strict=True):
        path.write_text(json.dumps(content))
    return merge([(path, read_document(path)) for path in paths])


def test_seeds_of_several_computers_count_together_and_once(tmp_path: Path) -> None:
    here = document(model("vae", run(0, 0.8), run(1, 0.9)))
    there = document(model("vae", run(1, 0.9), run(2, 0.7), run(3, 0.6)), dataset="d:/plant")
    (board,) = merge_all(tmp_path, here, there)
    (entry,) = board.entries
    assert [each.seed for each in entry.runs] == [0, 1, 2, 3]
    assert entry.mean("auc") == pytest.approx(0.75)
    assert entry.is_ranked


def test_other_recipes_and_other_data_are_kept_separate(tmp_path: Path) -> None:
    other = model("vae", run(0, 0.8))
    other["recipe"] = {"epochs": 6}
    boards = merge_all(
        tmp_path,
        document(model("vae", run(0, 0.8)), other),
        document(model("vae", run(0, 0.1)), data_digest="cd" * 32, dataset="/other", year=2021),
    )
    assert [board.name for board in boards] == ["other", "plant"]
    assert len(boards[1].entries) == 2


def test_few_seeds_are_listed_but_not_ranked(tmp_path: Path) -> None:
    few = model("lucky", *(run(seed, 0.99) for seed in range(3)))
    many = model("steady", *(run(seed, 0.8) for seed in range(4)))
    once = model("bank", run(0, 0.9), deterministic=True)
    (board,) = merge_all(tmp_path, document(few, many, once))
    assert [entry.model for entry in board.entries] == ["bank", "steady", "lucky"]
    lines = render_page([board]).splitlines()
    assert any(line.startswith("| 1 | `bank` |  | 1 | 0.900 [") for line in lines)
    assert any(line.startswith("| not ranked | `lucky` |") for line in lines)


def test_models_that_are_as_good_share_a_rank(tmp_path: Path) -> None:
    aucs = {"a": 0.9, "b": 1.0, "c": 0.9999, "d": 0.95}
    models = [model(name, run(0, auc), deterministic=True) for name, auc in aucs.items()]
    (board,) = merge_all(tmp_path, document(*models))
    ranks = {entry.model: board.rank(entry) for entry in board.entries}
    assert ranks == {"b": 1, "c": 1, "d": 3, "a": 4}


def test_failed_runs_and_missing_sections_are_named(tmp_path: Path) -> None:
    runs = (run(0, 0.8, failure="no memory"), run(1, 0.8, missing={"fan/id_02": "no clips"}))
    (board,) = merge_all(tmp_path, document(model("vae", *runs, run(2, 0.7))))
    assert len(board.entries[0].runs) == 1
    page = render_page([board])
    assert "- Left out: vae, seed 0: no memory." in page
    assert "- Left out: vae, seed 1: fan/id_02: no clips." in page
    (again,) = merge_all(tmp_path, json.loads(encode_document(to_document(board))))
    assert render_page([again]) == page


def test_the_same_run_with_other_results_is_refused(tmp_path: Path) -> None:
    documents = [document(model("vae", run(0, auc))) for auc in (0.8, 0.9)]
    with pytest.raises(DatasetError, match=r"1\.json: vae, seed 0, fan, auc: expected 0\.8, as in"):
        merge_all(tmp_path, *documents)


def test_different_versions_are_listed_and_named_where_results_differ(tmp_path: Path) -> None:
    here = document(model("vae", run(0, 0.8)))
    there = document(model("vae", run(1, 0.8)), versions={"torch": "3", "numpy": "2"})
    (board,) = merge_all(tmp_path, here, there)
    assert board.versions == {"torch": "2 and 3", "numpy": "2"}
    assert "Versions: numpy 2, torch 2 and 3." in render_page([board])
    (again,) = merge_all(tmp_path, json.loads(encode_document(to_document(board))), here)
    assert again.versions == board.versions
    there = document(model("vae", run(0, 0.9)), versions={"torch": "3"})
    with pytest.raises(DatasetError, match=r"different results \(with torch 3 and 2\); leave one"):
        merge_all(tmp_path, here, there)


def test_the_interval_over_clips_has_a_width_at_an_auc_of_1(tmp_path: Path) -> None:
    (board,) = merge_all(tmp_path, document(model("bank", run(0, 1.0), deterministic=True)))
    interval = board.entries[0].clips_interval
    assert interval is not None
    assert 0.8 < interval[0] < 0.95
    assert interval[1] == 1.0


def decided(rule: str | None, found: int | None, flagged: int | None) -> dict[str, Any]:
    counts = {"true_positives": found, "false_positives": flagged}
    return {"rule": rule, "anomalies": 20, "normals": 20} | counts


def test_decisions_are_means_over_seeds_by_every_rule(tmp_path: Path) -> None:
    usual = "90th percentile of a gamma distribution fitted to 40 held-out normal windows"
    runs = [
        run(
            seed,
            0.8,
            section={
                "detected": 14 + seed,
                "decisions": {
                    "model": decided("p = 0.001 for a window of normal sound: tail", 10, 0),
                    "gamma": decided(usual, 15 + seed, 2),
                },
            },
        )
        for seed in range(2)
    ]
    other = run(
        0, 0.7, section={"decisions": {"gamma": decided("90th percentile of 9 windows", 3, 1)}}
    )
    none = run(0, 0.6, section={"decisions": {"model": decided(None, None, None)}})
    models = (model("vae", *runs), model("knn", other), model("raw", none), model("old", run(0, 1)))
    page = render_page(merge_all(tmp_path, document(*models)))
    key = page.partition("`vae` | `")[2][:8]
    cells = "14.5 of 20 | 1 in 0.5 h | 10 of 20 | 0 of 20 | 15.5 of 20 | 2 of 20"
    assert f"| `vae` | `{key}` | {cells} |" in page
    assert (
        f"| `knn` | `{key}` | 15 of 20 | 1 in 0.5 h | not measured | not measured | 3 of 20" in page
    )
    assert f"| `raw` | `{key}` | 15 of 20 | 1 in 0.5 h | no threshold | no threshold | not" in page
    assert f"| `old` | `{key}` | 15 of 20 | 1 in 0.5 h | not measured | not measured | not" in page
    assert "- Threshold: p = 0.001 for a window of normal sound (`vae`)." in page
    assert "- Gamma: 90th percentile of 9 windows (`knn`)." in page
    assert usual not in page


def test_years_without_a_complete_real_set_are_not_measured(tmp_path: Path) -> None:
    machines = ["fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve"]
    real = document(model("a", run(0, 0.8)), year=2020, machines=machines)
    synthetic = real | {"is_synthetic": True, "data_digest": "ef" * 32}
    assert "- 2020: plant\n- 2021: not measured" in render_page(merge_all(tmp_path, real))
    assert "- 2020: not measured" in render_page(merge_all(tmp_path, synthetic))
    part = real | {"machines": ["fan"]}
    assert "- 2020: not measured" in render_page(merge_all(tmp_path, part))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected the result.json of `asd-monitor compare`"),
        ("[]", "expected a document asd-monitor/compare/1, found none"),
        ('{"schema": "asd-monitor/compare/9"}', "found asd-monitor/compare/9"),
        ('{"schema": "asd-monitor/compare/1"}', "dataset: Field required"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(DatasetError, match=message):
        read_document(tmp_path)


def test_the_command_reads_what_compare_writes(compared: Compared, tmp_path: Path) -> None:
    compared.copy_to(tmp_path)
    page = tmp_path / "page.md"
    arguments = ["leaderboard", str(tmp_path / "out"), "--out", str(page)]
    arguments += ["--save", str(tmp_path / "saved")]
    result = CliRunner().invoke(create_app(), arguments)
    assert result.exception is None, result.exception
    text = page.read_text()
    for summary in compared.comparison.models:
        assert f"`{summary.candidate.model}`" in text
    (saved,) = (tmp_path / "saved").iterdir()
    assert str(tmp_path) not in text + saved.read_text()
    result = CliRunner().invoke(create_app(), ["leaderboard", str(saved)])
    assert result.stdout == text


def test_the_page_in_the_documentation_is_that_of_its_result_files() -> None:
    docs = Path(__file__).parents[3] / "docs"
    files = sorted((docs / "results").glob("*.json"))
    assert files
    boards = merge([(path, read_document(path)) for path in files])
    assert (docs / "leaderboard.md").read_text() == render_page(boards)
