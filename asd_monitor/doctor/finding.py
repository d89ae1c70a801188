"""What a check has found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from asd_monitor.errors import AsdMonitorError

Fact = str | int | float | bool | None


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """The monitor runs, but something is missing or not as it should be."""
    FAILED = "failed"
    """The monitor cannot do what was asked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    check: str
    """Which check it is of; several findings may share it."""
    status: Status
    told: str
    """One sentence: what was found."""
    advice: str = ""
    """What to do; empty where nothing is to be done."""
    exit_code: int = 0
    """Of the command if this is the first that failed; 0 unless failed."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """The numbers behind it, by name with unit."""


def ok(check: str, told: str, **facts: Fact) -> Finding:
    """Return that all is well."""
    return Finding(check, Status.OK, told, facts=facts)


def warning(check: str, told: str, advice: str, **facts: Fact) -> Finding:
    """Return that something could be better."""
    return Finding(check, Status.WARNING, told, advice, facts=facts)


def failed(
    check: str, told: str, advice: str, kind: type[AsdMonitorError], **facts: Fact
) -> Finding:
    """Return that something does not work; ``kind`` is the error that a run would end with."""
    return Finding(check, Status.FAILED, told, advice, kind.exit_code, facts)
