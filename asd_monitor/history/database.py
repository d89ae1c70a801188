"""Open the history's database; recognise a damaged, foreign or newer one."""

import sqlite3
from pathlib import Path

from asd_monitor.errors import StateError
from asd_monitor.file_lock import file_lock
from asd_monitor.history.migrations import SCHEMA, VERSION
from asd_monitor.storage import database_files
from asd_monitor.storage.database_schema import create_private, read_version

FILE_NAME = "history.db"
BUSY_TIMEOUT_S = 5.0
WAL_LIMIT_BYTES = 16_000_000


class DamagedHistoryError(StateError):
    """The file is not a database, or not one of this program."""


class NewerHistoryError(StateError):
    """The history was written by a newer version of this program."""


def is_damage(error: Exception) -> bool:
    """Return whether an error means that the file is damaged, not that the disk is full."""
    return isinstance(error, DamagedHistoryError) or database_files.is_damage(error)


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open the database for writing, create it if missing, and upgrade its tables.

    Raises
    ------
    DamagedHistoryError
        If it is not a database of this program.
    NewerHistoryError
        If it was written by a newer version of this program.
    StateError
        If its folder cannot be written.
    sqlite3.Error
        If the disk is full, or the file damaged or locked.
    """
    try:
        create_private(path)
    except OSError as error:
        msg = f"{path}: the history cannot be written: {error.strerror}"
        raise StateError(msg) from error
    with file_lock(path.with_suffix(".lock"), StateError, "", wait=True):
        connection = _connect(str(path))
        try:
            _check(connection, path)
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
            SCHEMA.migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def open_to_read(path: Path, *, upgrade_later: bool = False) -> sqlite3.Connection:
    """Open the database read-only; it may be written by another process meanwhile.

    Parameters
    ----------
    path
        The database.
    upgrade_later
        Accept a database of an older version, whose tables may differ.

    Raises
    ------
    StateError
        If there is no history, or it is damaged, or of another version of this program.
    """
    if not path.exists():
        msg = (
            f"{path}: there is no history yet; it begins when `asd-monitor run` starts "
            "(another folder: --state-dir)"
        )
        raise StateError(msg)
    connection = None
    try:
        connection = _connect(f"{path.absolute().as_uri()}?mode=ro")
        _check(connection, path)
        version = read_version(connection)
    except (sqlite3.Error, StateError) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, StateError):
            raise
        if is_damage(error):
            raise DamagedHistoryError(f"{path}: the history is damaged: {error}") from error
        raise StateError(f"{path}: the history cannot be read: {error}") from error
    if version < VERSION and not upgrade_later:
        connection.close()
        msg = (
            f"{path}: the history has version {version}, and this program reads version "
            f"{VERSION}; it is upgraded when `asd-monitor run` starts"
        )
        raise StateError(msg)
    return connection


def _connect(database: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        database,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        uri=database.startswith("file:"),
    )
    connection.row_factory = sqlite3.Row
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise an error unless the file is empty or a history that this program understands."""
    version = read_version(connection)
    if SCHEMA.is_foreign(connection):
        msg = f"{path}: expected a history of asd-monitor, found another database"
        raise DamagedHistoryError(msg)
    if version > VERSION:
        msg = (
            f"{path}: the history was written by a newer asd-monitor (version {version} of the "
            f"tables; this program knows {VERSION}); install the newer program, or move the "
            "file away"
        )
        raise NewerHistoryError(msg)
