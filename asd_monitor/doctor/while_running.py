"""The diagnosis of a monitor that is running, for its system page."""

from collections.abc import Sequence
from pathlib import Path

from asd_monitor.config import Config
from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding
from asd_monitor.doctor.runner import list_checks, run_checks
from asd_monitor.doctor.support import write_support_file
from asd_monitor.web.diagnosis import CheckResult

CHECKS = ("processors", "mqtt", "state folder", "history", "outbox", "clock", "systemd")
"""Checks that do not disturb the monitor; it reports microphones and models itself."""


class RunningDiagnosis:
    """Implements :class:`asd_monitor.web.diagnosis.Diagnosis`.

    Parameters
    ----------
    config
        The settings of the monitor.
    root
        Its state folder.
    path
        Its configuration file; None if there is none.
    """

    def __init__(self, config: Config, root: Path, path: Path | None) -> None:
        self._config = config
        self._root = root
        self._path = path

    def check(self) -> Sequence[CheckResult]:
        """Run the checks that do not disturb the monitor."""
        return [
            CheckResult(found.check, str(found.status), found.message, found.hint)
            for found in self._find()
        ]

    def write_support_file(self, out: Path, log: Path) -> None:
        """Write findings, versions, settings without secrets, and a log to a tar file."""
        write_support_file(out, self._find(), self._root, config=self._path, log=log, unit="")

    def _find(self) -> list[Finding]:
        checks = [check for check in list_checks(Context(self._config)) if check.name in CHECKS]
        return list(run_checks(checks))
