"""Where the state folder is."""

from collections.abc import Mapping
from pathlib import Path


def locate_state(path: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the state folder: ``path`` if given, else systemd's, else the user's."""
    if path is not None:
        return path.expanduser().absolute()
    if systemd := environ.get("STATE_DIRECTORY"):
        return Path(systemd.split(":")[0])
    base = environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser().absolute() / "asd-monitor"
