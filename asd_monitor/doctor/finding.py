"""The result of a check."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from asd_monitor.errors import AsdMonitorError

Fact = str | int | float | bool | None


class Status(StrEnum):
    """Severity of a finding, in increasing order."""

    SKIPPED = "skipped"
    """The settings give nothing to check."""
    OK = "ok"
    WARNING = "warning"
    """The monitor runs, but something is missing or degraded."""
    FAILED = "failed"
    """The monitor cannot do what the settings ask for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    check: str
    """Name of the check; several findings may share it."""
    status: Status
    message: str
    """One sentence about what was found."""
    hint: str = ""
    """What to do about it; empty if nothing."""
    exit_code: int = 0
    """Exit code of the command if this is the first failure; 0 unless failed."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """The values behind the message; names end with the unit."""


def ok(check: str, message: str, **facts: Fact) -> Finding:
    """Return a finding that needs no action."""
    return Finding(check, Status.OK, message, facts=facts)


def skipped(check: str, message: str) -> Finding:
    """Return a finding that says why nothing was checked."""
    return Finding(check, Status.SKIPPED, message)


def warning(check: str, message: str, hint: str, **facts: Fact) -> Finding:
    """Return a finding that the monitor can run with."""
    return Finding(check, Status.WARNING, message, hint, facts=facts)


def failed(
    check: str, message: str, hint: str, kind: type[AsdMonitorError], **facts: Fact
) -> Finding:
    """Return a failure; ``kind`` is the error that ``run`` would end with."""
    return Finding(check, Status.FAILED, message, hint, kind.exit_code, facts)
