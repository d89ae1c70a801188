"""The commands ``train`` and ``export`` as a user types them."""

import json
import signal
import subprocess
import sys
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

ENTRY = "import sys; from asd_monitor.cli import main; sys.argv[0] = 'asd-monitor'; main()"


def asd(*arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", ENTRY, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_stops_with_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    made, run = make_set(tmp_path / "set"), tmp_path / "run"
    recipe = write_recipe(tmp_path / "recipe.yaml", epochs=100_000)
    shared = ["--out", run, "--cache", tmp_path / "cache"]
    started = asd("train", "autoencoder", made, "--config", recipe, *shared)
    metrics = run / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130, told
    assert f"stopped; {run} is kept" in told


def invoke(*arguments: object) -> tuple[int, str, BaseException | None]:
    cli_app = typer.Typer()
    cli_app.command("train")(train_command.train)
    cli_app.command("export")(export_command.export)
    result = CliRunner().invoke(cli_app, [str(each) for each in arguments])
    return result.exit_code, result.output, result.exception


def test_json_is_one_document(tmp_path: Path) -> None:
    made, run = make_set(tmp_path / "set"), tmp_path / "run"
    recipe = write_recipe(tmp_path / "recipe.yaml")
    shared = ("--cache", tmp_path / "cache", "--json")
    code, output, error = invoke(
        "train", "autoencoder", made, "--config", recipe, "--out", run, *shared
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
    ("out", "said"), [("recording.wav", "found something else"), ("nowhere/fan.asd", "no folder")]
)
def test_export_overwrites_nothing_but_a_model_file(tmp_path: Path, out: str, said: str) -> None:
    (tmp_path / "recording.wav").write_bytes(b"RIFF")
    code, _, error = invoke("export", tmp_path / "run", "--out", tmp_path / out)
    assert code == 1
    assert isinstance(error, ModelFileError)
    assert said in str(error)
    assert (tmp_path / "recording.wav").read_bytes() == b"RIFF"


def test_both_commands_are_registered() -> None:
    assert {"train", "export"} <= set(cli.COMMANDS)


def test_the_cache_follows_the_users_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "asd-monitor" / "features"
