"""Format the doctor's findings for a terminal, as plain lines, and as JSON."""

from typing import TYPE_CHECKING, Any

from asd_monitor import __version__
from asd_monitor.doctor.finding import Finding, Status
from asd_monitor.doctor.runner import exit_code

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {
    Status.SKIPPED: "dim",
    Status.OK: "green",
    Status.WARNING: "yellow",
    Status.FAILED: "bold red",
}


def format_table(findings: list[Finding]) -> "Table":
    """Return a table of the findings, with each hint below its message."""
    from rich.table import Table
    from rich.text import Text

    from asd_monitor.terminal.tables import fold_columns

    table = Table("", "check", "finding", box=None, pad_edge=False)
    for finding in findings:
        text = Text(finding.message)
        if finding.hint:
            text.append(f"\n→ {finding.hint}", style="italic")
        table.add_row(Text(finding.status, style=_STYLES[finding.status]), finding.check, text)
    return fold_columns(table)


def format_lines(finding: Finding) -> list[str]:
    """Return one finding as plain lines."""
    lines = [f"{finding.status:<8} {finding.check:<12} {finding.message}"]
    if finding.hint:
        lines.append(f"{'':<8} {'':<12} -> {finding.hint}")
    return lines


def format_summary(findings: list[Finding]) -> str:
    """Return the last line of the report."""
    failures = sum(finding.status is Status.FAILED for finding in findings)
    warnings = sum(finding.status is Status.WARNING for finding in findings)
    if not failures and not warnings:
        return "all checks passed"
    return f"{failures} failed, {warnings} warning(s)"


def to_dict(findings: list[Finding]) -> dict[str, Any]:
    """Return the findings as a JSON document."""
    statuses = [finding.status for finding in findings]
    worst = max(statuses, key=list(Status).index, default=Status.OK)
    return {
        "schema": 1,
        "version": __version__,
        "status": str(worst),
        "exit_code": exit_code(findings),
        "checks": [
            {
                "check": finding.check,
                "status": str(finding.status),
                "message": finding.message,
                "hint": finding.hint,
                "facts": dict(finding.facts),
            }
            for finding in findings
        ],
    }
