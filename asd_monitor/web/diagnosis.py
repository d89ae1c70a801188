"""What the system page may ask of the diagnosis of the installation.

The command that starts the monitor passes an implementation; the pages know nothing else of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of a check, for the user."""

    check: str
    status: str
    """``ok``, ``skipped``, ``warning`` or ``failed``."""
    message: str
    hint: str
    """What to do about it; empty if nothing."""


class Diagnosis(Protocol):
    """Check the installation while the monitor runs."""

    def check(self) -> Sequence[CheckResult]:
        """Run the checks that do not disturb the monitor; takes seconds."""

    def write_support_file(self, out: Path, log: Path) -> None:
        """Write findings, versions, settings without secrets, and a log to a compressed tar file.

        Raises
        ------
        StateError
            If it cannot be written.
        """
