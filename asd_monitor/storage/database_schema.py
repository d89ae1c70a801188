"""Create SQLite files that only the owner can read, and upgrade their tables."""

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a database and how they became so.

    Parameters
    ----------
    package
        Package whose ``schema.sql`` has the newest tables.
    version
        Their version, from 1.
    application_id
        Number that marks a file as a database of this kind.
    migrations
        SQL that leads to each version from the one before.
    """

    package: str
    version: int
    application_id: int
    migrations: Mapping[int, str]

    def read_sql(self) -> str:
        """Return the SQL of an empty database."""
        return files(self.package).joinpath("schema.sql").read_text(encoding="utf-8")

    def is_foreign(self, connection: sqlite3.Connection) -> bool:
        """Return whether a database has contents and is not of this kind."""
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        has_contents = bool(tables or read_version(connection))
        return has_contents and application != self.application_id

    def migrate(self, connection: sqlite3.Connection) -> None:
        """Create or upgrade the tables in one transaction: all of it, or nothing.

        Parameters
        ----------
        connection
            In autocommit mode; no other process may be migrating the same file.
        """
        version = read_version(connection)
        if version == self.version:
            return
        later = range(version + 1, self.version + 1)
        steps = [self.migrations[step] for step in later] if version else [self.read_sql()]
        sql = "\n".join(steps)
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA application_id = {self.application_id};\n"
                f"PRAGMA user_version = {self.version};\nCOMMIT;"
            )
        except sqlite3.Error:
            if connection.in_transaction:
                connection.rollback()
            raise


def read_version(connection: sqlite3.Connection) -> int:
    """Return the version of a database's tables; 0 if it has none."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def create_private(path: Path) -> None:
    """Create an empty file and its folder where they are missing; raise OSError on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
