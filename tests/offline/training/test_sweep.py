"""Several runs of a model: each equals the run that was trained alone, and is trained once."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from asd_monitor.progress import NoProgress
from asd_offline.jobs.shards import Shard
from asd_offline.training.run import train
from asd_offline.training.sweep import SweepSettings, sweep
from tests.offline.small_sounds import CPU, make_set, request, write_recipe
from tests.offline.training.test_train_command import invoke


def weights(run: Path) -> dict[str, torch.Tensor]:
    (checkpoint,) = sorted(run.rglob("*.pt"))[-1:]
    loaded: dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)["weights"]
    return loaded


def test_each_run_of_a_sweep_equals_the_run_that_is_trained_alone(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set")
    small = write_recipe(tmp_path / "small.yaml", epochs=2)
    wide = write_recipe(tmp_path / "wide.yaml", epochs=2, hidden=24)
    template = replace(request(tmp_path, dataset, out=tmp_path / "runs"), recipe=None)
    settings = SweepSettings(template, (small, wide), seeds=2, device="cpu", jobs=1)
    first = sweep(replace(settings, shard=Shard(1, 2)), NoProgress())
    assert [run.name for run in first] == ["small-seed0", "wide-seed0"]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}
    runs = sweep(settings, NoProgress())
    assert [run.name for run in runs] == ["small-seed0", "wide-seed0", "small-seed1", "wide-seed1"]
    assert all(run.failure is None and run.epochs[0]["epoch"] == 2 for run in runs)
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in written.items())
    alone = replace(template, out=tmp_path / "alone", recipe=wide, seed=1)
    train(alone, CPU, NoProgress())
    expected, found = weights(tmp_path / "alone"), weights(tmp_path / "runs" / "wide-seed1")
    assert all(expected[name].equal(found[name]) for name in expected)


def test_a_run_that_fails_does_not_stop_the_others_and_is_tried_again(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set")
    good = write_recipe(tmp_path / "good.yaml", epochs=1)
    bad = write_recipe(tmp_path / "bad.yaml", epochs=1)
    bad.write_text(bad.read_text() + "unknown: 1\n")
    command = ("train", "autoencoder", dataset, "--config", bad, "--config", good, "--jobs", 1)
    options = ("--out", tmp_path / "runs", "--cache", tmp_path / "cache")
    code, output, error = invoke(*command, *options, "--json")
    assert code == 1
    assert "failed: bad-seed0" in str(error)
    failed, trained = json.loads(output.splitlines()[-1])["runs"]
    assert "unknown" in failed["failure"]
    assert trained["networks"][0]["epoch"] == 1
    write_recipe(bad, epochs=1)
    code, output, error = invoke(*command, *options)
    assert code == 0, error
    assert "bad-seed0: fan loss" in output


def test_a_cluster_or_a_shard_needs_several_runs(tmp_path: Path) -> None:
    _, _, error = invoke("train", "autoencoder", tmp_path, "--shard", "1/2")
    assert "--shard: needs several runs: give --seeds N" in str(error)
