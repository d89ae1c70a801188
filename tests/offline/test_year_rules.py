"""Differences between years are in the files of the years, and nowhere else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_offline.datasets import CHALLENGES
from asd_offline.evaluation.rules import RULES
from tests.rig.paths import ROOT

YEAR_NUMBERS = range(2020, 2040)
YEAR_FOLDERS = ("offline/asd_offline/datasets/layouts", "offline/asd_offline/evaluation/rules")
CALENDAR = ROOT / "asd_monitor" / "doctor" / "clock.py"
"""Compares the clock with years of the calendar, not of the challenge."""


def is_year(value: object) -> bool:
    if isinstance(value, str):
        return value.isdecimal() and int(value) in YEAR_NUMBERS
    return type(value) in (int, float) and value in YEAR_NUMBERS


def year_lines(source: str) -> list[int]:
    """Return the lines with a year as a value, except defaults of parameters."""
    tree = ast.parse(source)
    defaults = {
        id(default)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for default in (*function.args.defaults, *function.args.kw_defaults)
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and is_year(node.value) and id(node) not in defaults
    ]


def modules() -> Iterator[Path]:
    for package in ("asd_monitor", "offline/asd_offline"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.relative_to(ROOT).as_posix().startswith(YEAR_FOLDERS):
                yield path


def test_no_other_module_names_a_year() -> None:
    named = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in modules()
        if path != CALENDAR
        for line in year_lines(path.read_text(encoding="utf-8"))
    ]
    assert not named


@pytest.mark.parametrize(
    "source",
    [
        "year == 2020",
        "year >= (\n    2021\n)",
        "year in (2020, 2021)",
        "{2022: 1}.get(year)",
        "match year:\n    case 2020 | 2021:\n        pass",
        "str(year) == '2023'",
        "min(year, 2_022)",
        "LIMIT = 0x7E4",
    ],
)
def test_a_year_is_found_in_any_formatting(source: str) -> None:
    assert year_lines(source)


@pytest.mark.parametrize(
    "source", ['"""Rules of 2020."""', "def f(year=2020): ...", "n_fft = 2048", "# 2020"]
)
def test_prose_defaults_and_other_numbers_are_not_years(source: str) -> None:
    assert not year_lines(source)


def test_layouts_and_rules_are_registered_under_their_own_year() -> None:
    assert list(RULES) == list(CHALLENGES)
    assert all(year == challenge.year for year, challenge in CHALLENGES.items())
    assert all(year == rules.year for year, rules in RULES.items())
