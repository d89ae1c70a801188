"""Open the outbox's database; recognise a damaged, foreign or newer one."""

import os
import sqlite3
from importlib.resources import files
from pathlib import Path

from asd_monitor.errors import StateError
from asd_monitor.file_lock import file_lock
from asd_monitor.storage import database_files

FILE_NAME = "outbox.db"
SPARKPLUG_FILE_NAME = "outbox-sparkplug.db"
"""The outbox of the Sparkplug edge node, in the same folder."""
VERSION = 1
APPLICATION_ID = 0x4153444F
"""Marks the file as an outbox of asd-monitor (``ASDO``)."""
MIGRATIONS: dict[int, str] = {}
"""SQL that leads to each version from the one before."""
BUSY_TIMEOUT_S = 5.0
WAL_LIMIT_BYTES = 8_000_000
MAX_CHECKED_BYTES = 50_000_000
"""A larger file is not read as a whole at the start, which would delay the first messages."""


class DamagedOutboxError(StateError):
    """The file is not a database, or not one of this program."""


class NewerOutboxError(StateError):
    """The outbox was written by a newer version of this program."""


def is_damage(error: Exception) -> bool:
    """Return whether an error means that the file is damaged, not that the disk is full."""
    return isinstance(error, DamagedOutboxError) or database_files.is_damage(error)


def open_outbox(path: Path) -> sqlite3.Connection:
    """Open the database for writing, create it if missing, and upgrade its tables.

    Raises
    ------
    DamagedOutboxError
        If it is not a database of this program.
    NewerOutboxError
        If it was written by a newer version of this program.
    StateError
        If its folder cannot be written.
    sqlite3.Error
        If the disk is full, or the file damaged or locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        msg = f"{path}: the outbox cannot be written: {error.strerror}"
        raise StateError(msg) from error
    with file_lock(path.with_suffix(".lock"), StateError, "", wait=True):
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            _check(connection, path)
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open the database read-only; the monitor may be writing it.

    Raises
    ------
    DamagedOutboxError
        If it is not a database of this program.
    NewerOutboxError
        If it was written by a newer version of this program.
    sqlite3.Error
        If it cannot be read.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise an error unless the file is empty or an outbox that this program understands."""
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = read_version(connection)
    if (tables or version) and application != APPLICATION_ID:
        msg = f"{path}: expected an outbox of asd-monitor, found another database"
        raise DamagedOutboxError(msg)
    if version > VERSION:
        msg = (
            f"{path}: the outbox was written by a newer asd-monitor (version {version} of the "
            f"tables; this program knows {VERSION})"
        )
        raise NewerOutboxError(msg)
    if path.stat().st_size <= MAX_CHECKED_BYTES:
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise DamagedOutboxError(f"{path}: {problem}")


def read_version(connection: sqlite3.Connection) -> int:
    """Return the version of a database's tables; 0 if it has none."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection) -> None:
    """Create or upgrade the tables in one transaction: all of it, or nothing."""
    version = read_version(connection)
    if version == VERSION:
        return
    schema = files("asd_monitor.outbox").joinpath("schema.sql").read_text(encoding="utf-8")
    steps = [MIGRATIONS[step] for step in range(version + 1, VERSION + 1)] if version else [schema]
    sql = "\n".join(steps)
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA application_id = {APPLICATION_ID};\n"
            f"PRAGMA user_version = {VERSION};\nCOMMIT;"
        )
    except sqlite3.Error:
        if connection.in_transaction:
            connection.rollback()
        raise
