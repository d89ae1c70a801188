"""A comparison that was stopped or failed goes on, and repeats nothing."""

import shutil
from pathlib import Path

import pytest

from asd_monitor.errors import RunError
from asd_offline.comparison import Comparison, compare
from asd_offline.comparison.job import CompareJob, Data, Meter, ReplayProgress
from asd_offline.comparison.run_result import read_outcome
from asd_offline.jobs.pool import Stopped
from tests.offline.compared_models import Compared, Told, copied, recipes, settings


def test_the_same_call_again_repeats_nothing(compared: Compared, tmp_path: Path) -> None:
    copied(compared, tmp_path)
    shutil.copystat(compared[0] / "set", tmp_path / "set")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/runs").rglob("*")}
    told = Told()
    again = compare(settings(tmp_path), told)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/runs").rglob("*")}
    assert after == before
    assert told.outcomes == []
    assert "3 of 3 runs are there already" in told.notes
    assert again.rows[0].cells == compared[1].rows[0].cells


def test_another_seed_adds_to_those_that_are_there(compared: Compared, tmp_path: Path) -> None:
    copied(compared, tmp_path)
    told = Told()
    comparison = compare(settings(tmp_path, seeds=3), told)
    assert [(each.model, each.seed) for each in told.outcomes] == [("autoencoder", 2)]
    assert len(comparison.rows[0].cells["fan", "auc"].values) == 3


def test_another_recipe_is_another_run(compared: Compared, tmp_path: Path) -> None:
    copied(compared, tmp_path)
    told = Told()
    compare(settings(tmp_path, models=("autoencoder",), epochs=1, seeds=1), told)
    assert [(each.model, each.seed) for each in told.outcomes] == [("autoencoder", 0)]
    folders = [path.name for path in (tmp_path / "out/runs").glob("autoencoder-seed0-*")]
    assert len(folders) == 2


def job_of(folder: Path, comparison: Comparison) -> CompareJob:
    row = comparison.rows[0]
    assert row.entry.recipe is not None
    data = Data(folder / "set", None, (), None, ("fan/id_00",), folder / "cache", "auto")
    recipe = row.entry.recipe.model_dump_json()
    return CompareJob("autoencoder", 0, recipe, 2, data, folder / "job", report=False)


def test_a_stopped_run_goes_on_where_it_was(compared: Compared, tmp_path: Path) -> None:
    copied(compared, tmp_path)
    job, done = job_of(tmp_path, compared[1]), 0.0

    def stop_in_the_second_network(step: float) -> None:
        nonlocal done
        done += step
        if done > 0.45:
            raise Stopped

    with pytest.raises(Stopped):
        job.run(stop_in_the_second_network)
    assert not job.result.exists()
    metrics = job.folder / "training/metrics.jsonl"
    fan = [line for line in metrics.read_text().splitlines() if '"network": "fan"' in line]
    assert len(fan) == 2
    job.run(lambda step: None)
    assert [line for line in metrics.read_text().splitlines() if '"fan"' in line] == fan
    found = read_outcome(job.result)
    assert found is not None
    assert found.figures == compared[1].rows[0].good[0].figures


def test_one_that_fails_does_not_stop_the_others_and_is_tried_again(
    compared: Compared, tmp_path: Path
) -> None:
    copied(compared, tmp_path)
    shutil.rmtree(tmp_path / "recipes")
    recipes(tmp_path / "recipes", window_s=5.0)
    told = Told()
    comparison = compare(settings(tmp_path, seeds=1), told)
    assert comparison.failures == ["autoencoder"]
    assert "lasts 1 s, the recipe's window 5 s" in comparison.rows[0].remarks()[0]
    assert comparison.rows[1].cells["fan", "auc"] == compared[1].rows[1].cells["fan", "auc"]
    again = Told()
    compare(settings(tmp_path, seeds=1), again)
    assert [each.model for each in again.outcomes] == ["autoencoder"]


def test_a_full_disk_stops_at_once_and_keeps_what_was_done(
    compared: Compared, tmp_path: Path
) -> None:
    copied(compared, tmp_path)
    ran = next((tmp_path / "out/runs").glob("autoencoder-seed0-*"))
    (ran / "result.json").unlink()
    (ran / "recipe.yaml").unlink()
    (ran / "recipe.yaml").symlink_to("/dev/full")
    told = Told()
    with pytest.raises(RunError, match=r"No space left.*free space and run the same command again"):
        compare(settings(tmp_path), told)
    assert told.outcomes == []
    assert len(list((tmp_path / "out/runs").glob("*/result.json"))) == 2


def test_the_parts_of_a_replay_add_up_to_the_rest_of_a_run() -> None:
    steps: list[float] = []
    meter = Meter(steps.append)
    meter.to(0.9)
    progress = ReplayProgress(meter)
    for stage, done, share in (
        ("fitting", 1.0, 0.92),
        ("fitting", 2.0, 0.94),
        ("scoring", 0.0, 0.94),
        ("scoring", 2.0, 0.99),
        ("drawing", 2.0, 1.0),
    ):
        progress.update(stage, done, 2.0)
        assert sum(steps) == pytest.approx(share)
