"""How many cores a program may use: by its affinity, and by the quota of its control groups."""

import os
from pathlib import Path

import pytest

from asd_monitor.processes import workers


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Eight cores by affinity, and a tree of control groups; the own group is /slice/service."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    own = tmp_path / "cgroup"
    own.write_text("1:cpu:/old\n0::/slice/service\n")
    groups = tmp_path / "groups"
    (groups / "slice" / "service").mkdir(parents=True)
    monkeypatch.setattr(workers, "_OWN_GROUP", own)
    monkeypatch.setattr(workers, "_GROUPS", groups)
    return groups


@pytest.mark.parametrize(
    ("group", "limit", "expected"),
    [
        ("slice/service", "200000 100000", 2),  # CPUQuota=200%
        ("slice", "350000 100000", 3),
        (".", "50000 100000", 1),  # a container: half a processor
        ("slice/service", "max 100000", 8),
        ("slice/service", "1600000 100000", 8),
        ("slice/service", "", 8),
    ],
)
def test_a_quota_of_any_group_limits_the_cores(
    cores: Path, group: str, limit: str, expected: int
) -> None:
    (cores / group / "cpu.max").write_text(limit)
    assert workers.available_cores() == expected


def test_the_smallest_quota_counts(cores: Path) -> None:
    (cores / "slice" / "cpu.max").write_text("200000 100000")
    (cores / "slice" / "service" / "cpu.max").write_text("400000 100000")
    assert workers.available_cores() == 2


@pytest.mark.parametrize("content", [None, "1:cpu:/old\n"])
def test_without_control_groups_the_affinity_counts(
    cores: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    (cores / "cpu.max").write_text("100000 100000")
    own = cores / "own"
    if content is not None:
        own.write_text(content)
    monkeypatch.setattr(workers, "_OWN_GROUP", own)
    assert workers.available_cores() == 8
