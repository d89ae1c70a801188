"""Notes about recordings: a list in a small JSON file in their folder.

A note that cannot be read or written is logged and never fatal: the recordings themselves are of
more value.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from asd_monitor.storage.durable import write_durably

logger = logging.getLogger(__name__)


def read_notes(path: Path, consequence: str = "") -> list[object]:
    """Return the values of a file; none if there is no file.

    Parameters
    ----------
    path
        The file.
    consequence
        What is unknown without it, for the log.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        logger.warning("%s: cannot be read%s: %s", path, consequence, error)
        return []
    return values if isinstance(values, list) else []


def write_notes(path: Path, values: Sequence[object], indent: int | None = None) -> None:
    """Replace the values of a file."""
    try:
        write_durably(path, f"{json.dumps(values, indent=indent)}\n".encode())
    except OSError as error:
        logger.warning("%s: cannot be written: %s", path, error.strerror)
