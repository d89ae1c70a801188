"""Replaying with the folder of a training run instead of a model file."""

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
    """A run over two epochs, stopped after the first."""
    made = make_set(tmp_path / "set")
    recipe = write_recipe(tmp_path / "two.yaml", epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path, made, recipe=recipe), CPU, FakeProgress(stop_at_epoch=1))
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
    first, now = ensure_exported(run, cache)
    assert now
    assert first.parent == run / "export"
    assert ensure_exported(run, cache) == (first, False)
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(about | {"created_at": "later"}))
    second, now = ensure_exported(run, cache)
    assert now
    assert list(first.parent.iterdir()) == [second]
    second.write_bytes(second.read_bytes()[:100])
    assert ensure_exported(run, cache) == (second, True)


def test_replay_takes_a_run(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(trained / "user"))
    run = finish(trained)
    app = typer.Typer()
    app.command()(replay_command.replay)
    given = [str(trained / "set"), "--model", str(run), "--json", "--jobs", "1"]
    results = [CliRunner().invoke(app, given) for _ in range(2)]
    (kept,) = (run / "export").iterdir()
    for result, said in zip(results, ("exported to", "already exported to"), strict=True):
        assert result.exit_code == 0, result.exception
        assert f"{run}: {said} {kept}" in result.stderr
        assert json.loads(result.stdout)["model"]["file"] == str(kept)
        assert json.loads(result.stdout)["machines"]["fan"]["sections"]["id_00"]["auc"] is not None


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    from asd_offline.replay.plan import read_given_model

    with pytest.raises(ConfigError, match="the folder of a training run, or quickstart, found a"):
        read_given_model(str(tmp_path))


def test_data_that_was_moved_says_which_commands_help(trained: Path) -> None:
    run = finish(trained)
    shutil.move(trained / "set", trained / "elsewhere")
    with pytest.raises(DatasetError, match=r"asd-monitor export .*run --out FILE --dataset FOLDER"):
        ensure_exported(run, trained / "cache")
