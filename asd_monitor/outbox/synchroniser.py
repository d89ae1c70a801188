"""The thread that waits for the disk, so that no message does."""

import logging
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from asd_monitor.outbox.database import BUSY_TIMEOUT_S

logger = logging.getLogger(__name__)

CHECKPOINT_ATTEMPTS = 3
"""A checkpoint is complete if nothing was written meanwhile; each attempt has less to do."""


class Synchroniser:
    """Put the log of a database on the disk, and move it into the database.

    Both take 10 to 100 ms on a busy disk, during which messages are committed as usual. The thread
    is started when it is first needed. The log is a file that SQLite holds no locks on, so that it
    can be opened here.

    Parameters
    ----------
    path
        The database, which remains open elsewhere while this object is used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._condition = threading.Condition()  # guards all below
        self._must_synchronise = self._must_checkpoint = self._ending = False
        self._busy = False
        self._error: Exception | None = None
        self._is_log_left = False
        self._thread: threading.Thread | None = None

    def synchronise(self) -> None:
        """Put what was committed on the disk soon; returns at once."""
        with self._condition:
            self._must_synchronise = True
            self._wake()

    def checkpoint(self) -> None:
        """Move the log into the database soon; returns at once."""
        with self._condition:
            self._must_checkpoint = True
            self._wake()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="outbox-disk", daemon=True)
            self._thread.start()
        self._condition.notify_all()

    @property
    def is_idle(self) -> bool:
        """Whether everything that was asked for has been done, or has failed."""
        with self._condition:
            return not (self._must_synchronise or self._must_checkpoint or self._busy)

    def take_rest(self) -> bool:
        """Return whether the last checkpoint has left some of the log; afterwards, False.

        A log of which something is left is not begun again, and becomes longer and longer.
        """
        with self._condition:
            is_left, self._is_log_left = self._is_log_left, False
            return is_left

    def raise_error(self) -> None:
        """Raise the error of the last attempt, if it failed, once.

        Raises
        ------
        sqlite3.Error, OSError
            If the log could not be put on the disk or into the database.
        """
        with self._condition:
            error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """End the thread, after what it is doing; may be called twice."""
        with self._condition:
            self._ending = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join()

    def flush(self) -> None:
        """Put what was committed on the disk before returning; raise OSError on failure."""
        handle = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(handle)
        finally:
            os.close(handle)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._busy = False
                self._condition.notify_all()
                self._condition.wait_for(
                    lambda: self._must_synchronise or self._must_checkpoint or self._ending
                )
                if self._ending:
                    return
                synchronise, checkpoint = self._must_synchronise, self._must_checkpoint
                self._must_synchronise = self._must_checkpoint = False
                self._busy = True
            try:
                if synchronise:
                    self.flush()
                if checkpoint:
                    self._checkpoint()
            except (sqlite3.Error, OSError) as error:
                logger.debug("outbox: the disk", exc_info=error)
                with self._condition:
                    self._error = error

    def _checkpoint(self) -> None:
        """Move the log into the database, in several steps if it grows meanwhile."""
        left = 0
        with closing(sqlite3.connect(self._path, BUSY_TIMEOUT_S, isolation_level=None)) as reader:
            for _ in range(CHECKPOINT_ATTEMPTS):
                _, length, moved = reader.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                left = length - moved
                if left <= 0:
                    break
        with self._condition:
            self._is_log_left = left > 0
