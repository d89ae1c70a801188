"""The command line: help, exit codes, and one-line errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from asd_monitor.cli import COMMANDS, create_app


def asd_monitor(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "asd_monitor.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    return create_app()


def help_of(app: typer.Typer, *arguments: str, columns: int = 80) -> str:
    """Return the help as it is printed on a terminal of this width, with single spaces."""
    result = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": str(columns)})
    assert result.exit_code == 0
    return " ".join(result.stdout.replace("│", " ").split())


def test_the_help_names_every_command_and_the_exit_codes() -> None:
    text = asd_monitor("--help").stdout
    assert all(f" {name} " in text for name in COMMANDS)
    assert "7 state folder" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(app: typer.Typer, command: str) -> None:
    text = help_of(app, command)
    assert "Example" in text
    assert f"asd-monitor {command}" in text


@pytest.mark.parametrize("columns", [80, 200])
def test_help_keeps_the_asterisks_of_file_names(app: typer.Typer, columns: int) -> None:
    text = help_of(app, "evaluate", columns=columns)
    assert "anomaly_score_*.csv" in text
    assert "decision_result_*.csv" in text


def test_the_version_is_shown() -> None:
    assert asd_monitor("--version").stdout.startswith("asd-monitor ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "--web", "off"], 2, "nothing to monitor: give --mic and --machine"),
        (["run", "--mic", "0"], 2, "expected one --machine for each --mic"),
        (["run", "--mic", "0", "--wav", "a", "--machine", "p"], 2, "--mic and --wav are both"),
        (
            ["run", "--wav", "a", "--wav", "b", "--machine", "p", "--machine", "p"],
            2,
            "expected different",
        ),
        (
            ["run", "--wav", "a", "--wav", "b", "--machine", "p 1", "--machine", "P/1"],
            2,
            "found: 'p 1' (id p-1), 'P/1' (id p-1)",
        ),
        (["run", "--wav", "a", "--machine", " "], 2, "expected the name of a machine"),
        (["run", "--wav", "a", "--machine", "a\nb"], 2, "on one line, found 'a\\nb'"),
        (["run", "--wav", "no.wav", "--machine", "pump"], 4, "no.wav: expected a recording"),
        (["run", "--wav", ".", "--machine", "p", "--model", "no.asd"], 3, "no such model file"),
        (["run", "--wav", ".", "--model", "no.asd", "--target", "fan/a"], 3, "no such model file"),
        (["run", "--wav", ".", "--machine", "p", "--target", "q"], 2, "leave the target out"),
        (["run", "--wav", ".", "--machine", "p", "--no-learn"], 3, "there is no model at"),
        (
            ["run", "--mic", "0", "--machine", "p", "--mqtt", "h:x"],
            2,
            "--mqtt: expected HOST or",
        ),
        (["run", "--config", "no.yaml"], 2, "no.yaml: cannot be read"),
        (["run", "--config", "no.yaml", "--mic", "0"], 2, "--config names the machines"),
        (["learn", "--wav", "no", "--machine", "p"], 4, "no: expected a recording"),
        (["check", "no.yaml"], 2, "no.yaml: cannot be read"),
        (["inspect", "no.asd"], 3, "no.asd"),
        (["run", "--flux"], 2, "No such option"),
        (["no-such-command"], 2, "No such command"),
    ],
)
def test_each_kind_of_error_has_its_code_and_its_line(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    state = ["--state-dir", str(tmp_path)] if arguments[0] in ("run", "learn") else []
    done = asd_monitor(*arguments, *state)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.returncode == code


def test_check_summarises_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text("machines:\n  pump: {mic: USB}\n  fan: {wav: [a.wav, old/b.wav]}\n")
    done = asd_monitor("check", path)
    assert done.returncode == 0
    assert "no errors; 2 machine(s)" in done.stdout
    assert "pump: microphone USB" in done.stdout
    assert "fan: recordings a.wav, old/b.wav" in done.stdout


@pytest.mark.parametrize(
    ("name", "encoding", "output"),
    [
        (b"L\xfcfter.yaml", "utf-8:strict", rb"L\udcfcfter.yaml: no errors"),
        ("日.yaml".encode(), "latin-1:strict", rb"\u65e5.yaml: no errors"),
    ],
)
def test_names_that_the_terminal_cannot_display_are_escaped(
    name: bytes, encoding: str, output: bytes, tmp_path: Path
) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_text("machines:\n  pump: {mic: USB}\n")
    done = subprocess.run(
        [sys.executable, "-m", "asd_monitor.cli", "check", path],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        timeout=400,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert output in done.stdout


def test_a_full_disk_is_reported_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text("machines: {pump: {mic: 0}}\n")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "asd_monitor.cli", "check", path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "asd-monitor: No space left on device; make room on the disk\n"


@pytest.mark.parametrize(
    ("thread", "finalized"), [("learn-pump", ""), ("live-view", "finalized\n")]
)
def test_a_thread_that_still_works_in_torch_is_not_ended_by_python(
    thread: str, finalized: str, tmp_path: Path
) -> None:
    script = (
        "import atexit, sys, threading\n"
        "from asd_monitor.cli import main\n"
        "atexit.register(print, 'finalized')\n"
        "wait = threading.Event().wait\n"
        f"threading.Thread(target=wait, name='{thread}', daemon=True).start()\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, "check", str(tmp_path / "none.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert (done.returncode, done.stdout) == (2, finalized)
    assert "none.yaml" in done.stderr
