"""A training run is exported when it is replayed."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from asd_monitor.commands import replay as replay_command
from asd_monitor.errors import ConfigError, DatasetError, RunError
from asd_offline.export.cached_export import ensure_exported
from asd_offline.training.run import train
from tests.offline.small_sounds import CPU, FakeProgress, make_set, request, write_recipe


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Train the first of two epochs and return the folder."""
    dataset = make_set(tmp_path / "set")
    recipe = write_recipe(tmp_path / "two.yaml", epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path, dataset, recipe=recipe), CPU, FakeProgress(stop_at_epoch=1))
    return tmp_path


def finish(folder: Path) -> Path:
    recipe = folder / "two.yaml"
    train(request(folder, folder / "set", recipe=recipe, resume=True), CPU, FakeProgress())
    return folder / "run"


def test_a_run_is_exported_once_and_again_when_it_changed(trained: Path) -> None:
    run, cache = trained / "run", trained / "cache"
    with pytest.raises(RunError, match="trained for 1 of 2 epochs"):
        ensure_exported(run, cache)
    finish(trained)
    first, is_new = ensure_exported(run, cache)
    assert is_new
    assert first.parent == run / "export"
    assert ensure_exported(run, cache) == (first, False)
    metadata = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(metadata | {"created_at": "later"}))
    second, is_new = ensure_exported(run, cache)
    assert is_new
    assert list(first.parent.iterdir()) == [second]
    second.write_bytes(second.read_bytes()[:100])
    assert ensure_exported(run, cache) == (second, True)


def test_replay_takes_a_run(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(trained / "user"))
    run = finish(trained)
    app = typer.Typer()
    app.command()(replay_command.replay)
    arguments = [str(trained / "set"), "--model", str(run), "--json", "--jobs", "1"]
    results = [CliRunner().invoke(app, arguments) for _ in range(2)]
    (path,) = (run / "export").iterdir()
    for result, verb in zip(results, ("exported to", "already exported to"), strict=True):
        assert result.exit_code == 0, result.exception
        assert f"{run}: {verb} {path}" in result.stderr
        assert json.loads(result.stdout)["model"]["file"] == str(path)
        assert json.loads(result.stdout)["machines"]["fan"]["sections"]["id_00"]["auc"] is not None


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    from asd_offline.replay.plan import read_given_model

    with pytest.raises(ConfigError, match="the folder of a training run, or quickstart, found a"):
        read_given_model(str(tmp_path))


def test_moved_data_is_reported_with_the_command_that_helps(trained: Path) -> None:
    run = finish(trained)
    shutil.move(trained / "set", trained / "elsewhere")
    with pytest.raises(DatasetError, match=r"asd-monitor export .*run --out FILE --dataset FOLDER"):
        ensure_exported(run, trained / "cache")
