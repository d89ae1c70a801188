"""The file of an outbox: opened when that is possible, read-only while the disk is full."""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from asd_monitor.errors import StateError
from asd_monitor.file_lock import file_lock
from asd_monitor.outbox.database import (
    NewerOutboxError,
    is_damage,
    is_full,
    open_outbox,
    open_without_room,
)
from asd_monitor.outbox.report import OutboxReport
from asd_monitor.outbox.store import OutboxStore
from asd_monitor.outbox.synchroniser import Synchroniser
from asd_monitor.storage.database_files import set_aside

logger = logging.getLogger(__name__)

RETRY_S = 5.0
"""After a failure, this is the time until the next attempt to open or write the database."""


class OutboxFile:
    """The database of an outbox while it can be used; for the thread that owns it.

    A damaged file, or one of a newer version of this program, is set aside. While the disk is full
    the database is read, but not written.

    Parameters
    ----------
    path
        The database; None: there is none, and nothing is opened.
    report
        Receives what is set aside.
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(
        self, path: Path | None, report: OutboxReport, monotonic: Callable[[], float]
    ) -> None:
        self.path = path
        self.store: OutboxStore | None = None
        """The tables; None while they cannot be read."""
        self.is_writable = False
        """Whether the last attempt to write succeeded."""
        self._report = report
        self._monotonic = monotonic
        self._retry_at_s = float("-inf")
        self._problem = ""
        self._resources = ExitStack()
        self._is_locked = False

    @property
    def is_due(self) -> bool:
        """Whether an attempt to open or write the database may be made."""
        return self.is_writable or self._monotonic() >= self._retry_at_s

    def retry_at_once(self) -> None:
        """Make the next attempt without waiting."""
        self._retry_at_s = float("-inf")

    def open(self) -> bool:
        """Open the database if that is due; return whether it was opened.

        One that could be read only is opened again, so that it can be written if there is room.
        """
        if self.path is None or self.is_writable or not self.is_due:
            return False
        if self.store is not None and self.store.synchroniser is None:
            self._abandon()
        if self.store is not None:
            return False
        for _attempt in range(2):  # again after a file was set aside
            try:
                self._hold_lock(self.path)
                self.store = self._open(self.path)
            except (sqlite3.Error, OSError, StateError) as error:
                if self.fail(error):
                    continue
                return False
            return True
        return False

    def _open(self, path: Path) -> OutboxStore:
        try:
            return OutboxStore(open_outbox(path), Synchroniser(path))
        except sqlite3.Error as error:
            if not is_full(error):
                raise
        return OutboxStore(open_without_room(path))

    def _hold_lock(self, path: Path) -> None:
        """Exclude other monitors, which would send the same messages; resend may write."""
        if self._is_locked:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        taken = f"{path}: another monitor (process {{holder}}) uses it; give each a state_dir"
        self._resources.enter_context(
            file_lock(path.with_name(f"{path.name}.lock"), StateError, taken)
        )
        self._is_locked = True

    def succeed(self) -> None:
        """Note that something was written."""
        self.is_writable = True
        if self._problem:
            logger.info("outbox: messages are stored again in %s", self.path)
        self._problem = ""

    def fail(self, error: Exception) -> bool:
        """Note a failure; return whether to try again at once, as after damage.

        The database remains open if the disk is full: what is stored can still be sent.
        """
        self.is_writable = False
        if not is_full(error):
            self._abandon()
        newer = isinstance(error, NewerOutboxError)
        unusable = newer or is_damage(error)
        if unusable and self._set_aside(error, "newer" if newer else "damaged"):
            self.retry_at_once()
            return True
        self._retry_at_s = self._monotonic() + RETRY_S
        if str(error) != self._problem:
            self._problem = str(error)
            logger.warning(
                "outbox: new messages are kept in memory only, because they cannot be stored: %s",
                error,
            )
        return False

    def _set_aside(self, error: Exception, why: str) -> bool:
        assert self.path is not None  # noqa: S101 - there was a database
        try:
            aside = set_aside(self.path, why)
        except OSError as failure:
            logger.warning("outbox: %s cannot be renamed: %s", self.path, failure)
            return False
        self._report.set_aside()
        logger.warning("outbox: %s; the file is now %s", error, aside.name)
        return True

    def _abandon(self) -> None:
        store, self.store = self.store, None
        if store is not None:
            store.abandon()

    def close(self) -> None:
        """Close the database, and let other monitors use it."""
        store, self.store = self.store, None
        if store is not None:
            if self.is_writable and store.synchroniser is not None:
                try:
                    store.synchroniser.flush()
                except OSError as error:
                    logger.warning("outbox: the end could not be written: %s", error)
            store.close()
        self.is_writable = False
        self._resources.close()
        self._is_locked = False
