"""Open the outbox's database; recognise a damaged, foreign or newer one."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asd_monitor.errors import StateError
from asd_monitor.file_lock import file_lock
from asd_monitor.storage import database_files
from asd_monitor.storage.database_schema import Schema, create_private, read_version

FILE_NAME = "outbox.db"
SPARKPLUG_FILE_NAME = "outbox-sparkplug.db"
"""The outbox of the Sparkplug edge node, in the same folder."""
SCHEMA = Schema(
    "asd_monitor.outbox",
    2,
    application_id=0x4153444F,
    migrations={2: "ALTER TABLE resend ADD COLUMN acked_since_ms INTEGER NOT NULL DEFAULT 0;"},
)
"""Its files are marked ``ASDO``."""
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


def is_full(error: Exception) -> bool:
    """Return whether an error means that the disk is full."""
    code = getattr(error, "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


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
        create_private(path)
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
            SCHEMA.migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block writes, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def open_without_room(path: Path) -> sqlite3.Connection:
    """Open an existing database although the disk is full, to read it.

    Other processes are excluded: what they would share takes room. Raises like
    :func:`open_outbox`.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        _check(connection, path)
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
    version = read_version(connection)
    if SCHEMA.is_foreign(connection):
        msg = f"{path}: expected an outbox of asd-monitor, found another database"
        raise DamagedOutboxError(msg)
    if version > SCHEMA.version:
        msg = (
            f"{path}: the outbox was written by a newer asd-monitor (version {version} of the "
            f"tables; this program knows {SCHEMA.version})"
        )
        raise NewerOutboxError(msg)
    if path.stat().st_size <= MAX_CHECKED_BYTES:
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise DamagedOutboxError(f"{path}: {problem}")
