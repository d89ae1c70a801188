"""Order of the tests for parallel workers."""

import re
from itertools import groupby

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.rig.paths import ROOT

FILES_BETWEEN = 4
"""Test files between two real-time tests, so that few workers wait at the same time."""
REAL_TIME_TEST = re.compile(
    r"@pytest\.mark\.real_time\n(?:@[^\n]*\n(?: [^\n]*\n|\)\n)*)*"  # and further decorators
    r"def (\w+)\("
)


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps the tests of a file on one worker, and gives real-time tests to any free worker."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        self.real_time = find_real_time_tests()

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.partition("[")[0] in self.real_time else nodeid.partition("::")[0]


def find_real_time_tests() -> set[str]:
    """Return the ids of the real-time tests, without parameters."""
    return {
        f"{path.relative_to(ROOT).as_posix()}::{name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in REAL_TIME_TEST.findall(path.read_text())
    }


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    """Distribute the tests by :class:`FileScheduling`."""
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the real-time tests, which wait for most of their time, between the files.

    None of them starts last.
    """
    waiting: list[list[pytest.Item]] = []
    files: list[list[pytest.Item]] = []
    for _, tests in groupby(items, key=lambda item: item.path):
        in_file: list[pytest.Item] = []
        for test in tests:
            if test.get_closest_marker("real_time"):
                waiting.append([test])
            else:
                in_file.append(test)
        if in_file:
            files.append(in_file)
    items[:] = [item for group in interleave(waiting, files) for item in group]


def interleave(
    waiting: list[list[pytest.Item]], files: list[list[pytest.Item]]
) -> list[list[pytest.Item]]:
    """Put one waiting group before every ``FILES_BETWEEN`` others, and the rest at the end."""
    ordered: list[list[pytest.Item]] = []
    for index, file in enumerate(files):
        if index % FILES_BETWEEN == 0 and waiting:
            ordered.append(waiting.pop(0))
        ordered.append(file)
    return ordered + waiting
