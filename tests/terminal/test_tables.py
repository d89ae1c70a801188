"""No table cuts a cell: what must be copied is folded on a terminal, and whole in a pipe."""

from collections.abc import Callable

import pytest
from rich.console import Console
from rich.table import Table

from asd_monitor.commands import bench, devices, inspect
from asd_monitor.doctor.finding import Finding, Status
from asd_monitor.doctor.report import format_table
from asd_monitor.sources.microphone import devices as microphones
from asd_monitor.terminal.tables import stdout_console
from tests.rig.toy_model import manifest

LONG = "µ" * 130
WIDTH = 60


def devices_table() -> Table:
    rates = (8000, 16000, 44100, 48000)
    mic = microphones.Microphone(0, "USB [hw:1,0]", "ALSA", 1, 48000, rates, LONG, True)
    return devices._make_table([mic])


def bench_table() -> Table:
    measurement = {
        "area": "start", "description": LONG, "value": 1.0, "unit": "s", "met": True,
        "at_most": 2.0, "at_least": None,
    }  # fmt: skip
    return bench._make_table({"measurements": [measurement], "load": {"start": 0.5}})


def targets_table() -> Table:
    return inspect._make_targets_table(manifest(targets=(LONG,), calibrations={}, thresholds={}))


def doctor_table() -> Table:
    return format_table([Finding("microphone", Status.FAILED, f"expected {LONG}")])


TABLES = pytest.mark.parametrize("table", [devices_table, bench_table, targets_table, doctor_table])


@TABLES
def test_a_table_on_a_narrow_terminal_folds_what_must_be_copied(table: Callable[[], Table]) -> None:
    console = Console(width=WIDTH, record=True, markup=False, force_terminal=True)
    console.print(table())
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("µ") == len(LONG)


@TABLES
def test_a_table_in_a_pipe_has_no_width_limit(
    table: Callable[[], Table], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stdout_console().print(table())
    assert LONG in capsys.readouterr().out


def test_brackets_in_names_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    stdout_console().print(devices_table())
    assert "USB [hw:1,0]" in capsys.readouterr().out
