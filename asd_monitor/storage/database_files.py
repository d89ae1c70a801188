"""Recognise damaged SQLite files, and set them aside instead of deleting them."""

import sqlite3
import time
from pathlib import Path

MAX_SET_ASIDE = 3
"""Files that are kept; of more, the oldest is removed."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def is_damage(error: Exception) -> bool:
    """Return whether an error of SQLite means that the file is damaged, not the disk full."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.Error) and code is not None and code & 0xFF in _DAMAGED


def set_aside(path: Path, why: str = "damaged") -> Path:
    """Rename a database with its log files; return its new path.

    Parameters
    ----------
    path
        The database.
    why
        A word that becomes part of its name.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.{why}-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{why}-{stamp}-{number}")
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        log = path.with_name(path.name + suffix)
        if log.exists():
            log.replace(aside.with_name(aside.name + suffix))
    for old in list_set_aside(path, why)[:-MAX_SET_ASIDE]:
        for suffix in ("", "-wal", "-shm"):
            old.with_name(old.name + suffix).unlink(missing_ok=True)
    return aside


def list_set_aside(path: Path, why: str = "damaged") -> list[Path]:
    """Return the databases that were set aside, oldest first."""
    found = path.parent.glob(f"{path.name}.{why}-*")
    return sorted(file for file in found if not file.name.endswith(("-wal", "-shm")))
