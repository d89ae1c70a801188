"""Documentation: short lines, and links that lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.paths import DOCS, ROOT

MAX_LINE = 100
PAGES = [*sorted(DOCS.glob("*.md")), *sorted(ROOT.glob("*.md"))]


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines outside tables, pictures and code blocks."""
    in_code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith(("|", "    ", "![")):
            yield number, line


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub derives them."""
    headings = (line.lstrip("#").strip() for _, line in prose(path) if line.startswith("#"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_lines_are_short(path: Path) -> None:
    long = [f"{path.name}:{n}" for n, line in prose(path) if len(line) > MAX_LINE]
    assert not long


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(path: Path) -> None:
    broken = []
    for number, line in prose(path):
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            name, _, anchor = target.partition("#")
            if name.startswith(("http:", "https:", "mailto:")):
                continue
            page = (path.parent / name).resolve() if name else path
            if not page.exists() or (anchor and anchor not in anchors(page)):
                broken.append(f"{path.name}:{number}: {target}")
    assert not broken


def test_the_tests_named_in_the_table_of_faults_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (DOCS / "reliability.md").read_text())
    assert len(named) > 20
    missing = [
        f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text()
    ]
    assert missing == []


@pytest.mark.parametrize(("letter", "count"), [("G-", 34), ("S", 14), ("D", 11)])
def test_each_goal_and_finding_has_a_row_with_a_test(letter: str, count: int) -> None:
    rows = [line for line in (DOCS / "reliability.md").read_text().splitlines() if "::" in line]
    named = {int(number) for row in rows for number in re.findall(rf"\b{letter}(\d+)\b", row)}
    assert set(range(1, count + 1)) <= named
