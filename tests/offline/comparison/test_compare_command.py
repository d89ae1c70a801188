"""The command ``compare``."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import typer
from typer.testing import CliRunner

import asd_monitor.cli as cli
from asd_monitor.commands import compare as compare_command
from asd_monitor.errors import RunError
from tests.offline.compared_models import MODELS, Compared, write_recipes
from tests.offline.small_sounds import make_set, write_recipe

ENTRY = "import sys; from asd_monitor.cli import main; sys.argv[0] = 'asd-monitor'; main()"


def invoke(*arguments: object) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    app.command("compare")(compare_command.compare)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.exception


def arguments_for(folder: Path) -> list[object]:
    names = [f"--{name}={folder / name}" for name in ("out", "cache", "recipes")]
    return [folder / "set", "--models", ",".join(MODELS), "--seeds=2", "--jobs=1", *names]


def test_the_command_prints_the_table_or_one_json_document(
    compared: Compared, tmp_path: Path
) -> None:
    compared.copy_to(tmp_path)
    code, output, error = invoke(*arguments_for(tmp_path))
    assert code == 0, error
    lines = output.splitlines()
    assert lines[0].split()[:3] == ["model", "fan", "pump"]
    assert lines[2].startswith("autoencoder")
    code, output, error = invoke(*arguments_for(tmp_path), "--json")
    assert code == 0, error
    document = json.loads(output)
    assert [model["model"] for model in document["models"]] == list(MODELS)
    values = compared.comparison.models[0].metrics["fan", "auc"].values
    assert document["models"][0]["metrics"]["fan"]["auc"]["values"] == list(values)
    assert "compare" in cli.COMMANDS


def test_a_failed_model_is_reported_and_the_command_fails(
    compared: Compared, tmp_path: Path
) -> None:
    compared.copy_to(tmp_path)
    write_recipe(tmp_path / "recipes/autoencoder.yaml", window_s=5.0)
    _, output, error = invoke(*arguments_for(tmp_path))
    assert isinstance(error, RunError)
    assert "autoencoder: failed: " in output
    assert output.splitlines()[3].startswith("twfr_gmm")


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    arguments = [*map(str, arguments_for(folder)), *more]
    return subprocess.Popen(
        [sys.executable, "-c", ENTRY, "compare", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_comparison_killed_after_its_first_result_equals_an_uninterrupted_one(
    compared: Compared, tmp_path: Path
) -> None:
    compared.copy_to(tmp_path)
    shutil.rmtree(tmp_path / "out")
    process = start(tmp_path)
    runs = tmp_path / "out/runs"
    wait_for(lambda: bool(list(runs.glob("*/result.json"))), process)
    process.kill()
    _, messages = process.communicate(timeout=400)
    assert process.returncode == -signal.SIGKILL, messages
    finished = {path: path.stat().st_mtime_ns for path in runs.glob("*/result.json")}
    assert finished
    assert not (tmp_path / "out/result.json").exists()
    code, output, error = invoke(*arguments_for(tmp_path), "--json")
    assert code == 0, error
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert len(list(runs.glob("*/result.json"))) == 3
    document = json.loads(output)
    for summary, model in zip(compared.comparison.models, document["models"], strict=True):
        expected = {run.seed: run.result.metrics for run in summary.runs if run.result}
        assert {run["seed"]: run["metrics"] for run in model["runs"]} == expected


def test_ctrl_c_keeps_finished_runs_and_reports_how_to_resume(tmp_path: Path) -> None:
    make_set(tmp_path / "set")
    write_recipes(tmp_path / "recipes", epochs=100_000)
    process = start(tmp_path, "--jobs=2")

    def is_under_way() -> bool:
        runs = tmp_path / "out/runs"
        finished = list(runs.glob("twfr_gmm-*/result.json"))
        return bool(finished) and any(runs.glob("autoencoder-*/training/metrics.jsonl"))

    wait_for(is_under_way, process)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=400)
    assert process.returncode == 130, messages
    assert f"stopped; {tmp_path / 'out'} is kept: run the same command again" in messages
    assert list((tmp_path / "out/runs").glob("twfr_gmm-*/result.json"))
