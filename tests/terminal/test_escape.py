"""No text from a file, a device or a model can control the terminal."""

import io
from pathlib import Path

import pytest
from rich.table import Table
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.telemetry.status import StatusTracker
from asd_monitor.terminal import logging_setup
from asd_monitor.terminal.escape import in_lines, on_one_line
from asd_monitor.terminal.live_view import LiveView
from asd_monitor.terminal.safe_console import SafeConsole
from tests.rig.toy_model import save_toy

HOSTILE = "\x1b[2Jbad\x1b]0;title\x07\x9b1A.wav"


def test_control_characters_are_escaped_and_line_feeds_kept_where_lines_are() -> None:
    assert in_lines(f"a\n{HOSTILE}") == "a\n\\x1b[2Jbad\\x1b]0;title\\x07\\x9b1A.wav"
    assert on_one_line("a\nb") == "a\\nb"


def test_the_final_error_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    logging_setup.print_error(f"asd-monitor: {HOSTILE}: not found\nsecond line")
    printed = capsys.readouterr().err
    assert "\x1b" not in printed
    assert printed.count("\n") == 2


def test_tables_and_text_of_a_console_are_escaped_and_its_colours_kept() -> None:
    file = io.StringIO()
    console = SafeConsole(file=file, force_terminal=True, width=200, color_system="standard")
    table = Table("name")
    table.add_row(HOSTILE)
    console.print(table)
    console.print(HOSTILE, style="bold")
    printed = file.getvalue()
    assert "\x1b[2J" not in printed
    assert "\x1b]0" not in printed
    assert "\x9b" not in printed
    assert "\x1b[1m" in printed


def test_the_live_view_escapes_the_names_of_recordings() -> None:
    file = io.StringIO()
    console = SafeConsole(file=file, force_terminal=True, width=200)
    tracker = StatusTracker({"pump": "Pump"}, lambda: True)
    view = LiveView(tracker.snapshot, console=console, title=HOSTILE)
    view.show_message(HOSTILE)
    console.print(view.render())
    assert "\x1b[2J" not in file.getvalue()
    assert "bad" in file.getvalue()


def test_inspect_escapes_the_texts_of_a_model(tmp_path: Path) -> None:
    changes = {"training": {HOSTILE: HOSTILE}, "description": {"text": f"a\n{HOSTILE}"}}
    path = save_toy(tmp_path / "toy.asd", changes)
    output = CliRunner().invoke(create_app(), ["inspect", str(path)]).output
    assert "bad" in output
    assert "\x1b" not in output
    assert "\x9b" not in output
