"""The command line: help, exit codes, and one-line errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asd_monitor.cli import COMMANDS


def asd_monitor(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "asd_monitor.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_help_names_every_command_and_the_exit_codes() -> None:
    shown = asd_monitor("--help").stdout
    assert all(f" {name} " in shown for name in COMMANDS)
    assert "7 state folder" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = asd_monitor(command, "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    assert f"asd-monitor {command}" in " ".join(done.stdout.split())


def test_the_version_is_shown() -> None:
    assert asd_monitor("--version").stdout.startswith("asd-monitor ")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["run"], 2, "nothing to listen to: give --mic and --machine"),
        (["run", "--mic", "0"], 2, "expected one --machine for each --mic"),
        (["run", "--mic", "0", "--wav", "a", "--machine", "p"], 2, "--mic and --wav are both"),
        (["run", "--wav", "a", "--wav", "b", "--machine", "p", "--machine", "p"], 2, "given twice"),
        (["run", "--wav", "a", "--machine", "a/b"], 2, "machine name 'a/b': expected"),
        (["run", "--wav", "no.wav", "--machine", "pump"], 4, "no.wav: expected a recording"),
        (["run", "--wav", ".", "--machine", "p", "--model", "no.asd"], 3, "no such model file"),
        (["run", "--wav", ".", "--model", "no.pt", "--target", "fan/a"], 3, "no such model file"),
        (["run", "--wav", ".", "--machine", "p", "--target", "q"], 2, "leave the target out"),
        (["run", "--wav", ".", "--machine", "p", "--no-learn"], 3, "there is no model at"),
        (["run", "--mic", "0", "--machine", "p", "--mqtt", "h:x"], 2, "--mqtt: expected a port"),
        (["run", "--config", "no.yaml"], 2, "no.yaml: the configuration cannot be read"),
        (["run", "--config", "no.yaml", "--mic", "0"], 2, "--config names the machines"),
        (["learn", "--wav", "no", "--machine", "p"], 4, "no: expected a recording"),
        (["check", "no.yaml"], 2, "the configuration cannot be read"),
        (["inspect", "no.asd"], 3, "no.asd"),
        (["run", "--flux"], 2, "No such option"),
        (["no-such-command"], 2, "No such command"),
    ],
)
def test_each_kind_of_mistake_has_its_code_and_its_line(
    arguments: list[str], code: int, told: str, tmp_path: Path
) -> None:
    state = ["--state-dir", str(tmp_path)] if arguments[0] in ("run", "learn") else []
    done = asd_monitor(*arguments, *state)
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.returncode == code


def test_check_tells_what_a_configuration_says(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text("machines:\n  pump: {mic: USB}\n  fan: {wav: [a.wav, old/b.wav]}\n")
    done = asd_monitor("check", path)
    assert done.returncode == 0
    assert "no mistakes found; 2 machine(s)" in done.stdout
    assert "pump: microphone USB" in done.stdout
    assert "fan: recordings a.wav, old/b.wav" in done.stdout


@pytest.mark.parametrize(
    ("name", "encoding", "shown"),
    [
        (b"L\xfcfter.yaml", "utf-8:strict", rb"L\udcfcfter.yaml: no mistakes"),
        ("日.yaml".encode(), "latin-1:strict", rb"\u65e5.yaml: no mistakes"),
    ],
)
def test_names_that_the_terminal_cannot_show_are_written_out(
    name: bytes, encoding: str, shown: bytes, tmp_path: Path
) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_text("machines:\n  pump: {mic: USB}\n")
    done = subprocess.run(
        [sys.executable, "-m", "asd_monitor.cli", "check", path],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert shown in done.stdout


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
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
