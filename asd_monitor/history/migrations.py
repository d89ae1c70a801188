"""Bring a database to the present version of the schema.

``schema.sql`` always has the newest schema; each migration changes the version before it. A test
compares both ways.
"""

import sqlite3
from importlib.resources import files

VERSION = 3
APPLICATION_ID = 0x41534448
"""Marks the file as a history of asd-monitor (``ASDH``)."""

MIGRATIONS = {
    # What people did, and commands that were refused.
    2: """
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY,
            at_ms INTEGER NOT NULL,
            who TEXT NOT NULL,
            via TEXT NOT NULL,
            action TEXT NOT NULL,
            machine TEXT NOT NULL,
            event_id TEXT NOT NULL,
            accepted INTEGER NOT NULL,
            text TEXT NOT NULL
        ) STRICT;
    """,
    # Accounts, sessions and tokens have a file of their own, which is not handed to others; codes
    # of states got room between them.
    3: """
        DROP TABLE user;
        DROP TABLE session;
        DROP TABLE token;
        DROP TABLE setting;
        UPDATE score SET state = 10 * state;
        UPDATE score_minute SET worst_state = 10 * worst_state;
        UPDATE score_hour SET worst_state = 10 * worst_state;
    """,
}
"""SQL that leads to each version from the one before."""


def schema() -> str:
    """Return the SQL of an empty database."""
    return files("asd_monitor.history").joinpath("schema.sql").read_text(encoding="utf-8")


def read_version(connection: sqlite3.Connection) -> int:
    """Return the version of a database's schema; 0 if it is empty."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection) -> None:
    """Create or upgrade the tables in one transaction: all of it, or nothing.

    Parameters
    ----------
    connection
        In autocommit mode; no other process may be migrating the same file.
    """
    version = read_version(connection)
    if version == VERSION:
        return
    steps = (
        [MIGRATIONS[step] for step in range(version + 1, VERSION + 1)] if version else [schema()]
    )
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
