"""The versions of the history's tables.

``schema.sql`` always has the newest schema; each migration changes the version before it. A test
compares both ways.
"""

from asd_monitor.storage.database_schema import Schema

VERSION = 4
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
    # The modes of machines.
    4: """
        CREATE TABLE mode_span (
            id INTEGER PRIMARY KEY,
            machine_id INTEGER NOT NULL REFERENCES machine (id),
            from_ms INTEGER NOT NULL,
            to_ms INTEGER,
            mode TEXT NOT NULL
        ) STRICT;
        CREATE INDEX mode_span_of_machine ON mode_span (machine_id, from_ms);
        CREATE INDEX open_mode_span ON mode_span (machine_id) WHERE to_ms IS NULL;
    """,
}
"""SQL that leads to each version from the one before."""

SCHEMA = Schema("asd_monitor.history", VERSION, APPLICATION_ID, MIGRATIONS)
