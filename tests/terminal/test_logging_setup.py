"""The format of log lines in the journal and elsewhere."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import TextIO

import pytest

from asd_monitor.terminal import logging_setup
from asd_monitor.terminal.json_log import LogFormat


@pytest.fixture
def stderr(tmp_path: Path) -> Iterator[TextIO]:
    """A file that replaces stderr; the logging of pytest is restored afterwards."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    with (tmp_path / "stderr").open("w+") as file:
        yield file
    logging.captureWarnings(capture=False)
    root.setLevel(level)
    root.handlers[:] = handlers


def set_up(stderr: TextIO, environ: dict[str, str]) -> logging.Logger:
    """Set up logging for a program with this stderr."""
    with redirect_stderr(stderr):
        logging_setup.set_up(environ=environ)
    return logging.getLogger("asd_monitor.test")


def journal(file: TextIO) -> dict[str, str]:
    """Return the environment of a service whose stderr is this file."""
    status = os.fstat(file.fileno())
    return {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}


def lines(file: TextIO) -> list[str]:
    file.flush()
    file.seek(0)
    return file.read().splitlines()


def test_the_journal_receives_the_priority_of_every_line(stderr: TextIO) -> None:
    log = set_up(stderr, journal(stderr))
    log.info("pump: NORMAL")
    log.warning("pump: ALARM")
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("inference failed")
    logged = lines(stderr)
    assert logged[:3] == [
        "<6>INFO pump: NORMAL",
        "<4>WARNING pump: ALARM",
        "<3>ERROR inference failed",
    ]
    assert logged[3] == "<3>Traceback (most recent call last):"
    assert all(line.startswith("<3>") for line in logged[3:])


@pytest.mark.parametrize("stream", [{}, {"JOURNAL_STREAM": "1:2"}])
def test_lines_outside_the_journal_have_times_and_no_priorities(
    stderr: TextIO, stream: dict[str, str]
) -> None:
    set_up(stderr, stream).warning("pump: ALARM")
    (line,) = lines(stderr)
    assert line.endswith("Z WARNING pump: ALARM")
    assert line[:2] == "20"


@pytest.fixture
def json_format() -> Iterator[None]:
    """JSON as the format of the process, until the end of the test."""
    logging_setup.choose_format(LogFormat.JSON)
    logging_setup.name_machines(lambda: ["pump"])
    yield
    logging_setup.name_machines(tuple)
    logging_setup.choose_format(LogFormat.TEXT)


@pytest.mark.usefixtures("json_format")
def test_a_log_of_json_has_an_object_per_line_with_machine_and_fields(stderr: TextIO) -> None:
    log = set_up(stderr, {})
    log.warning("%s: %s", "pump", "ALARM\n\x1b[2J", extra={"fields": {"score": 1.5}})
    log.info("%s: %s", "/srv/model.asd", "signed here")
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("inference failed")
    with redirect_stderr(stderr):
        logging_setup.print_error("asd-monitor: no\nmicrophone", environ={})
    first, second, third, last = [json.loads(line) for line in lines(stderr)]
    assert first["time"].endswith("Z")
    del first["time"]
    assert first == {
        "level": "warning",
        "machine": "pump",
        "message": "ALARM\\n\\x1b[2J",
        "logger": "asd_monitor.test",
        "fields": {"score": 1.5},
    }
    assert (second["message"], "machine" in second) == ("/srv/model.asd: signed here", False)
    assert "ValueError: no" in third["fields"]["traceback"]
    assert (last["level"], last["message"]) == ("error", "asd-monitor: no\\nmicrophone")


@pytest.mark.usefixtures("json_format")
def test_objects_in_the_journal_have_the_priority_that_it_removes(stderr: TextIO) -> None:
    set_up(stderr, journal(stderr)).warning("the disk is full")
    (line,) = lines(stderr)
    assert json.loads(line.removeprefix("<4>"))["message"] == "the disk is full"


def test_a_line_break_in_a_file_name_is_escaped(stderr: TextIO) -> None:
    set_up(stderr, {}).warning("skipped: %s", "a\nb\x1b[2J.wav")
    (line,) = lines(stderr)
    assert line.endswith("skipped: a\\nb\\x1b[2J.wav")


def test_why_the_program_ends_is_an_error_in_the_journal(tmp_path: Path) -> None:
    config = tmp_path / "pump.yaml"
    config.write_text("machines: {pump: {mik: 0}}\nlearn: {minuets: 3}\n")
    with (tmp_path / "stderr").open("w+") as file:
        command = [sys.executable, "-m", "asd_monitor.cli", "run", "--config", str(config)]
        done = subprocess.run(
            command, stderr=file, env={**os.environ, **journal(file)}, check=False, timeout=400
        )
        logged = lines(file)
    assert done.returncode == 2
    assert len(logged) == 2
    assert logged[0].startswith("<3>asd-monitor: ")
    assert logged[1].startswith("<3>")
