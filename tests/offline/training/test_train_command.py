"""The commands ``train`` and ``export``, called as a user calls them."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import asd_monitor.cli as cli
from asd_monitor.commands import export as export_command
from asd_monitor.commands import train as train_command
from asd_monitor.commands.options import default_cache
from asd_monitor.errors import ModelFileError
from tests.offline.small_sounds import make_set, write_recipe
from tests.rig import forked


def test_ctrl_c_stops_with_130_and_names_the_option_that_resumes(tmp_path: Path) -> None:
    dataset, run = make_set(tmp_path / "set"), tmp_path / "run"
    recipe = write_recipe(tmp_path / "recipe.yaml", epochs=100_000)
    options = ["--config", recipe, "--out", run, "--cache", tmp_path / "cache"]
    process = forked.start_command(["train", "autoencoder", dataset, *options], tmp_path / "stderr")
    metrics = run / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not (metrics.exists() and metrics.read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.pid is not None
    for _ in range(6):  # Python ignores an interrupt that arrives in a finalizer
        if process.is_alive():
            os.kill(process.pid, signal.SIGINT)
            process.join(60)
    stderr = (tmp_path / "stderr").read_text()
    assert process.exitcode == 130, stderr
    assert f"stopped; {run} is kept" in stderr
    assert "--resume" in stderr


def invoke(*arguments: object) -> tuple[int, str, BaseException | None]:
    """Run a command in this process; return exit code, output and exception."""
    app = typer.Typer()
    app.command("train")(train_command.train)
    app.command("export")(export_command.export)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output, result.exception


def test_json_is_one_document(tmp_path: Path) -> None:
    dataset, run = make_set(tmp_path / "set"), tmp_path / "run"
    recipe = write_recipe(tmp_path / "recipe.yaml")
    shared = ("--cache", tmp_path / "cache", "--json")
    code, output, error = invoke(
        "train", "autoencoder", dataset, "--config", recipe, "--out", run, *shared
    )
    assert code == 0, error
    document = json.loads(output.splitlines()[-1])
    assert document["networks"][0]["epoch"] == 4
    code, output, error = invoke("export", run, "--out", tmp_path / "fan.asd", *shared)
    assert code == 0, error
    document = json.loads(output.splitlines()[-1])
    assert document["targets"] == ["fan/id_00"]
    assert document["calibration_windows"] == {"fan/id_00": 2}


@pytest.mark.parametrize(
    ("out", "message"),
    [("recording.wav", "found something else"), ("nowhere/fan.asd", "no folder")],
)
def test_export_overwrites_model_files_only(tmp_path: Path, out: str, message: str) -> None:
    (tmp_path / "recording.wav").write_bytes(b"RIFF")
    code, _, error = invoke("export", tmp_path / "run", "--out", tmp_path / out)
    assert code == 1
    assert isinstance(error, ModelFileError)
    assert message in str(error)
    assert (tmp_path / "recording.wav").read_bytes() == b"RIFF"


def test_both_commands_are_registered() -> None:
    assert {"train", "export"} <= set(cli.COMMANDS)


def test_the_cache_follows_the_xdg_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "asd-monitor" / "features"
