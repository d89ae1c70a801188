"""Connections that read a history, one per thread."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asd_monitor.errors import StateError
from asd_monitor.history.database import open_to_read


class ReadConnections:
    """Read-only connections to a database, one per thread, opened when they are first needed.

    Parameters
    ----------
    path
        The database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    def rows(self, sql: str, values: Iterable[object] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """Return the rows of a query.

        Raises
        ------
        StateError
            If the history cannot be read.
        """
        with self._connection() as connection:
            parameters = values if isinstance(values, dict) else tuple(values)
            return connection.execute(sql, parameters).fetchall()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Yield this thread's connection; a new one if the file was replaced."""
        try:
            inode = self._path.stat().st_ino
        except OSError:
            inode = -1
        if getattr(self._local, "inode", None) != inode:
            self.close()
            self._local.connection = open_to_read(self._path)
            self._local.inode = inode
        try:
            yield self._local.connection
        except sqlite3.Error as error:
            self.close()
            msg = f"{self._path}: the history cannot be read: {error}"
            raise StateError(msg) from error

    def close(self) -> None:
        """Close the connection of the calling thread."""
        connection = getattr(self._local, "connection", None)
        self._local.__dict__.clear()
        if connection is not None:
            connection.close()
