"""Shards of a replay and of a comparison give the result of an undivided one."""

from dataclasses import replace
from pathlib import Path

import pytest

from asd_monitor.errors import ConfigError, RunError
from asd_offline.comparison import CompareSettings, compare
from asd_offline.comparison.folder_lock import locked_folder
from asd_offline.comparison.run import compare_shard
from asd_offline.jobs.shards import Shard
from asd_offline.replay import replay
from asd_offline.replay.sharding import replay_shard
from tests.offline.compared_models import RecordedProgress, write_recipes
from tests.offline.fan_recordings import replay_settings, write_fans
from tests.offline.jobs.cluster_jobs import Fail
from tests.offline.small_sounds import make_set
from tests.rig.toy_model import save_toy


@pytest.mark.parametrize("count", [1, 3, 7, 20])
def test_every_job_is_in_exactly_one_shard_and_shards_are_equal(count: int) -> None:
    jobs = [Fail(Path(str(number))) for number in range(13)]
    shards = [Shard(number, count).take(jobs) for number in range(1, count + 1)]
    assert [job for shard in shards for job in shard] == jobs
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4"])
def test_a_wrong_shard_is_an_error_that_says_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--shard: expected I/N with I from 1 to N"):
        Shard.parse(text)


def test_a_replay_after_its_shards_computes_nothing_and_equals_an_undivided_one(
    tmp_path: Path,
) -> None:
    dataset, model = write_fans(tmp_path / "fans"), save_toy(tmp_path / "toy.asd")
    whole = replay_settings(dataset, model, tmp_path / "whole")
    parts = replace(whole, out=tmp_path / "parts")
    replay(whole)
    done = [replay_shard(parts, Shard(number, 2)) for number in (2, 1)]
    assert done == [(1, 2), (1, 2)]
    results = sorted((tmp_path / "parts" / "work").rglob("scores-*"))
    before = [path.stat().st_mtime_ns for path in results]
    replay(parts)
    assert [path.stat().st_mtime_ns for path in results] == before
    names = [path.name for path in (tmp_path / "whole").iterdir() if path.is_file()]
    assert "result.json" in names
    for name in names:
        written = [(tmp_path / folder / name).read_bytes() for folder in ("whole", "parts")]
        assert written[0] == written[1], name


def test_a_shard_of_a_replay_needs_a_folder_that_all_share(tmp_path: Path) -> None:
    settings = replay_settings(write_fans(tmp_path / "fans", clips=1), "quickstart")
    with pytest.raises(ConfigError, match="--shard: expected --out"):
        replay_shard(settings, Shard(1, 2))


def test_a_comparison_after_its_shards_trains_nothing(tmp_path: Path) -> None:
    settings = CompareSettings(
        make_set(tmp_path / "set"),
        tmp_path / "out",
        tmp_path / "cache",
        models=("twfr_gmm",),
        recipes=write_recipes(tmp_path / "recipes"),
        seeds=2,
        jobs=1,
    )
    progress = RecordedProgress()
    counts = [compare_shard(settings, Shard(number, 2), progress) for number in (1, 2)]
    assert sorted(counts) == [([], 0), ([], 1)]  # a model without random numbers has one run
    trained = len(progress.finished_runs)
    comparison = compare(settings, progress)
    assert len(progress.finished_runs) == trained == 1
    assert [run.result is not None for run in comparison.models[0].runs] == [True]


def test_the_table_of_a_comparison_waits_for_shards_that_run(tmp_path: Path) -> None:
    with locked_folder(tmp_path, Shard(1, 2)), locked_folder(tmp_path, Shard(2, 2)):
        for shard in (None, Shard(1, 2)):
            with (
                pytest.raises(RunError, match="another comparison"),
                locked_folder(tmp_path, shard),
            ):
                pass
    with locked_folder(tmp_path):
        pass
