"""The doctor's findings for a terminal, for a log, and for a program."""

from typing import TYPE_CHECKING, Any

from asd_monitor import __version__
from asd_monitor.doctor.finding import Finding, Status
from asd_monitor.doctor.runner import exit_code

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "bold red"}


def as_table(findings: list[Finding]) -> "Table":
    """Return the findings as a table; what to do stands below what was found."""
    from rich.table import Table
    from rich.text import Text

    table = Table("", "check", "found", box=None, pad_edge=False)
    for each in findings:
        told = Text(each.told)
        if each.advice:
            told.append(f"\n→ {each.advice}", style="italic")
        table.add_row(Text(each.status, style=_STYLES[each.status]), each.check, told)
    return table


def as_lines(finding: Finding) -> list[str]:
    """Return one finding as plain lines."""
    lines = [f"{finding.status:<8} {finding.check:<12} {finding.told}"]
    if finding.advice:
        lines.append(f"{'':<8} {'':<12} -> {finding.advice}")
    return lines


def as_document(findings: list[Finding]) -> dict[str, Any]:
    """Return the findings for a program."""
    statuses = [each.status for each in findings]
    worst = max(statuses, key=list(Status).index, default=Status.OK)
    return {
        "schema": 1,
        "version": __version__,
        "status": str(worst),
        "exit_code": exit_code(findings),
        "checks": [
            {
                "check": each.check,
                "status": str(each.status),
                "told": each.told,
                "advice": each.advice,
                "facts": dict(each.facts),
            }
            for each in findings
        ],
    }


def closing_line(findings: list[Finding]) -> str:
    """Return the end of the report, in one sentence."""
    failures = sum(each.status is Status.FAILED for each in findings)
    warnings = sum(each.status is Status.WARNING for each in findings)
    if not failures and not warnings:
        return "all is well"
    return f"{failures} failed, {warnings} warning(s)"
