"""Format the doctor's findings for a terminal, as plain lines, and as JSON."""

from typing import TYPE_CHECKING, Any

from asd_monitor import __version__
from asd_monitor.doctor.finding import Finding, Status
from asd_monitor.doctor.runner import exit_code

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "bold red"}


def format_table(findings: list[Finding]) -> "Table":
    """Return a table of the findings, with each hint below its message."""
    from rich.table import Table
    from rich.text import Text

    table = Table("", "check", "finding", box=None, pad_edge=False)
    for found in findings:
        text = Text(found.message)
        if found.hint:
            text.append(f"\n→ {found.hint}", style="italic")
        table.add_row(Text(found.status, style=_STYLES[found.status]), found.check, text)
    return table


def format_lines(found: Finding) -> list[str]:
    """Return one finding as plain lines."""
    lines = [f"{found.status:<8} {found.check:<12} {found.message}"]
    if found.hint:
        lines.append(f"{'':<8} {'':<12} -> {found.hint}")
    return lines


def format_summary(findings: list[Finding]) -> str:
    """Return the last line of the report."""
    failures = sum(found.status is Status.FAILED for found in findings)
    warnings = sum(found.status is Status.WARNING for found in findings)
    if not failures and not warnings:
        return "all checks passed"
    return f"{failures} failed, {warnings} warning(s)"


def to_dict(findings: list[Finding]) -> dict[str, Any]:
    """Return the findings as a JSON document."""
    statuses = [found.status for found in findings]
    worst = max(statuses, key=list(Status).index, default=Status.OK)
    return {
        "schema": 1,
        "version": __version__,
        "status": str(worst),
        "exit_code": exit_code(findings),
        "checks": [
            {
                "check": found.check,
                "status": str(found.status),
                "message": found.message,
                "hint": found.hint,
                "facts": dict(found.facts),
            }
            for found in findings
        ],
    }
