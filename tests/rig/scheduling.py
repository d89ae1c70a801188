"""Order of the tests for parallel workers."""

from itertools import groupby

import pytest

FILES_BETWEEN = 4
"""Test files between two real-time tests, so that few workers wait at the same time."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each real-time test to any free worker; keep the tests of a file on one worker.

    A real-time test waits for most of its time. Such tests are distributed among the others, and
    none starts last.
    """
    waiting: list[list[pytest.Item]] = []
    files: list[list[pytest.Item]] = []
    for path, tests in groupby(items, key=lambda item: item.path):
        in_file: list[pytest.Item] = []
        for test in tests:
            if test.get_closest_marker("real_time"):
                test.add_marker(pytest.mark.xdist_group(test.nodeid))
                waiting.append([test])
            else:
                test.add_marker(pytest.mark.xdist_group(str(path)))
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
