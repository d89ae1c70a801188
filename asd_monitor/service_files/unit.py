"""The systemd unit for the environment that runs this program."""

import sys
from pathlib import Path

from asd_monitor.service_files.packaged import UNIT, read_packaged

PREFIX = "/opt/asd-monitor"
"""The environment that the unit of the repository names."""
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - never written to
"""Folders that the unit hides from the service (ProtectHome, PrivateTmp)."""


def program_path() -> Path:
    """Return the path of ``asd-monitor`` in this environment."""
    return Path(sys.prefix, "bin", "asd-monitor")


def manual_path() -> Path:
    """Return where the manual of operations is: in this environment, or in the repository."""
    installed = Path(sys.prefix, "share", "doc", "asd-monitor", "operations.md")
    in_repository = Path(__file__).parents[2] / "docs" / "operations.md"
    return in_repository if in_repository.exists() else installed


def write_unit(prefix: Path) -> str:
    """Return the unit that runs the program of an environment.

    Parameters
    ----------
    prefix
        Folder of the environment.
    """
    escaped = str(prefix).replace("\\", "\\\\").replace("%", "%%").replace(" ", "\\x20")
    return read_packaged(UNIT).replace(f"{PREFIX}/", f"{escaped}/")


def unreadable_by_service(*folders: Path) -> Path | None:
    """Return the first folder that a service of this unit cannot read; None if it can read all."""
    for folder in folders:
        if any(folder.is_relative_to(hidden) for hidden in HIDDEN):
            return folder
    return None
