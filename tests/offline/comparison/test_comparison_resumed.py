"""A comparison that was stopped or failed is resumed, and repeats nothing."""

import shutil
from pathlib import Path

import pytest

from asd_monitor.errors import RunError
from asd_monitor.progress import NoProgress
from asd_offline.comparison import Comparison, compare
from asd_offline.comparison.job import CompareJob, JobSettings
from asd_offline.comparison.plan import data_digest
from asd_offline.comparison.progress import ReplayProgress, RunProgress
from asd_offline.comparison.run_result import read_run_result
from asd_offline.datasets import open_dataset
from asd_offline.jobs.pool import Stopped
from tests.offline.compared_models import (
    Compared,
    RecordedProgress,
    compare_settings,
    write_recipes,
)
from tests.offline.dataset_layouts import dev_2025


def modification_times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_same_call_again_repeats_nothing(compared: Compared, tmp_path: Path) -> None:
    compared.copy_to(tmp_path)
    before = modification_times(tmp_path / "out/runs")
    progress = RecordedProgress()
    repeated = compare(compare_settings(tmp_path), progress)
    assert modification_times(tmp_path / "out/runs") == before
    assert progress.finished_runs == []
    assert "3 of 3 runs are already finished" in progress.messages
    assert repeated.models[0].metrics == compared.comparison.models[0].metrics


def test_another_seed_is_added_to_the_finished_ones(compared: Compared, tmp_path: Path) -> None:
    compared.copy_to(tmp_path)
    progress = RecordedProgress()
    comparison = compare(compare_settings(tmp_path, seeds=3), progress)
    assert progress.finished_runs == [("autoencoder", 2)]
    assert len(comparison.models[0].metrics["fan", "auc"].values) == 3


def test_another_recipe_is_another_run(compared: Compared, tmp_path: Path) -> None:
    compared.copy_to(tmp_path)
    progress = RecordedProgress()
    compare(compare_settings(tmp_path, models=("autoencoder",), epochs=1, seeds=1), progress)
    assert progress.finished_runs == [("autoencoder", 0)]
    assert len(list((tmp_path / "out/runs").glob("autoencoder-seed0-*"))) == 2


def test_supplemental_clips_are_part_of_the_data(tmp_path: Path) -> None:
    dataset = open_dataset(dev_2025(tmp_path / "a"))
    assert dataset.supplemental
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy)
    assert data_digest(open_dataset(tmp_path / "b")) == data_digest(dataset)
    dataset.supplemental[0].path.write_bytes(b"longer")
    assert data_digest(open_dataset(tmp_path / "b")) != data_digest(open_dataset(tmp_path / "a"))


def make_job(folder: Path, comparison: Comparison) -> CompareJob:
    recipe = comparison.models[0].candidate.recipe
    assert recipe is not None
    settings = JobSettings(folder / "set", None, (), None, ("fan/id_00",), folder / "cache", "auto")
    text = recipe.model_dump_json()
    return CompareJob("small", "autoencoder", 0, text, 2, settings, folder / "job", report=False)


def test_a_stopped_run_is_resumed(compared: Compared, tmp_path: Path) -> None:
    compared.copy_to(tmp_path)
    job, done = make_job(tmp_path, compared.comparison), 0.0

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
    result = read_run_result(job.result)
    assert result is not None
    assert result.metrics == compared.comparison.models[0].results[0].metrics


def test_a_run_that_fails_does_not_stop_the_others_and_is_tried_again(
    compared: Compared, tmp_path: Path
) -> None:
    compared.copy_to(tmp_path)
    shutil.rmtree(tmp_path / "recipes")
    write_recipes(tmp_path / "recipes", window_s=5.0)
    comparison = compare(compare_settings(tmp_path, seeds=1), NoProgress())
    assert comparison.failures == ["autoencoder"]
    assert "lasts 1 s, the recipe's window 5 s" in comparison.models[0].remarks()[0]
    expected = compared.comparison.models[1].metrics["fan", "auc"]
    assert comparison.models[1].metrics["fan", "auc"] == expected
    progress = RecordedProgress()
    compare(compare_settings(tmp_path, seeds=1), progress)
    assert progress.finished_runs == [("autoencoder", 0)]


def test_a_full_disk_stops_at_once_and_keeps_finished_runs(
    compared: Compared, tmp_path: Path
) -> None:
    compared.copy_to(tmp_path)
    run = next((tmp_path / "out/runs").glob("autoencoder-seed0-*"))
    (run / "result.json").unlink()
    (run / "recipe.yaml").unlink()
    (run / "recipe.yaml").symlink_to("/dev/full")
    progress = RecordedProgress()
    with pytest.raises(RunError, match=r"No space left.*free space and run the same command again"):
        compare(compare_settings(tmp_path), progress)
    assert progress.finished_runs == []
    assert len(list((tmp_path / "out/runs").glob("*/result.json"))) == 2


def test_the_stages_of_a_replay_add_up_to_the_rest_of_a_run() -> None:
    steps: list[float] = []
    run = RunProgress(steps.append)
    run.advance_to(0.9)
    progress = ReplayProgress(run)
    for stage, done, share in (
        ("fitting", 1.0, 0.92),
        ("fitting", 2.0, 0.94),
        ("scoring", 0.0, 0.94),
        ("scoring", 2.0, 0.99),
        ("drawing", 2.0, 1.0),
    ):
        progress.update(stage, done, 2.0)
        assert sum(steps) == pytest.approx(share)
