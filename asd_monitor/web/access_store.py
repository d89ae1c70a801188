"""Accounts, sessions and API tokens, in a file of their own in the state folder.

They are not part of the history: its file is backed up, handed to others, and set aside when it is
damaged, which must not remove a password. Passwords are stored as scrypt hashes, sessions and
tokens as SHA-256 of their random values.
"""

import hashlib
import hmac
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from asd_monitor.errors import ConfigError, StateError

FILE_NAME = "access.db"
MIN_PASSWORD_LENGTH = 10
MAX_PASSWORD_LENGTH = 200
SESSION_S = 30 * 24 * 3600.0
"""A session ends after this time ..."""
IDLE_SESSION_S = 7 * 24 * 3600.0
"""... or when it has not been used for this time."""
SEEN_INTERVAL_S = 3600.0
"""How exactly the last use of a session is stored."""
MAX_SESSIONS = 500

SCHEMA = """
CREATE TABLE IF NOT EXISTS account(
    name TEXT PRIMARY KEY, role INTEGER NOT NULL, salt BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS session(
    hash BLOB PRIMARY KEY, account TEXT NOT NULL REFERENCES account(name) ON DELETE CASCADE,
    created_s REAL NOT NULL, seen_s REAL NOT NULL, address TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS token(
    name TEXT PRIMARY KEY, role INTEGER NOT NULL, hash BLOB NOT NULL UNIQUE,
    created_s REAL NOT NULL) STRICT;
"""


class Role(IntEnum):
    """What a person or a program may do; each role includes those before it."""

    VIEWER = 1
    """Look and listen."""
    OPERATOR = 2
    """Also judge events: acknowledge, comment, shelve, mark as normal or as a fault."""
    ADMIN = 3
    """Also change settings and models, and download backups."""

    @classmethod
    def parse(cls, name: str) -> "Role":
        """Return the role of this name; raise ConfigError if there is none."""
        try:
            return cls[name.upper()]
        except KeyError:
            names = ", ".join(role.label for role in cls)
            raise ConfigError(f"expected a role: {names}; found {name!r}") from None

    @property
    def label(self) -> str:
        """The role in lower case."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request, and what they may do."""

    name: str
    role: Role
    session: bytes | None = None
    """Hash of the session, if there is one."""


class AccessStore:
    """The accounts, sessions and tokens of a state folder; may be used from any thread.

    Parameters
    ----------
    path
        The SQLite file; created, readable by its owner only, if it does not exist.
    clock
        Seconds since the epoch.

    Raises
    ------
    StateError
        If the file cannot be used.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._hashing = threading.Lock()  # one password at a time: each takes 16 MB
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(
                path, timeout=5, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._connection.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            msg = (
                f"{path}: the accounts of the web page cannot be read ({error}); restore the file, "
                "or remove it and create the accounts again with `asd-monitor access`"
            )
            raise StateError(msg) from error

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._connection.close()

    def _run(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def has_accounts(self) -> bool:
        """Return whether a password is needed."""
        return bool(self._run("SELECT 1 FROM account LIMIT 1"))

    def accounts(self) -> dict[str, Role]:
        """Return the role of each account, by name."""
        rows = self._run("SELECT name, role FROM account ORDER BY name")
        return {name: Role(role) for name, role in rows}

    def tokens(self) -> dict[str, Role]:
        """Return the role of each token, by name."""
        rows = self._run("SELECT name, role FROM token ORDER BY name")
        return {name: Role(role) for name, role in rows}

    def set_account(self, name: str, password: str, role: Role) -> None:
        """Create an account or replace its password and role; its sessions end.

        Raises
        ------
        ConfigError
            If the name or the password is not acceptable.
        """
        name = check_name(name)
        if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
            msg = (
                f"expected a password of {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} "
                f"characters, found {len(password)}"
            )
            raise ConfigError(msg)
        salt = os.urandom(16)
        values = (name, int(role), salt, self._hash(password, salt))
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("DELETE FROM account WHERE name = ?", (name,))
            self._connection.execute("INSERT INTO account VALUES (?, ?, ?, ?)", values)

    def remove(self, name: str) -> bool:
        """Remove the account and the token of this name; return whether there was one."""
        found = name in self.accounts() or name in self.tokens()
        self._run("DELETE FROM account WHERE name = ?", name)
        self._run("DELETE FROM token WHERE name = ?", name)
        return found

    def check_password(self, name: str, password: str) -> Identity | None:
        """Return the identity of an account if the password is right; takes as long if not."""
        rows = self._run("SELECT role, salt, hash FROM account WHERE name = ?", name)
        role, salt, expected = rows[0] if rows else (0, b"\0" * 16, b"")
        found = self._hash(password[:MAX_PASSWORD_LENGTH], salt)
        if not hmac.compare_digest(found, expected):
            return None
        return Identity(name, Role(role))

    def open_session(self, name: str, address: str) -> str:
        """Return the secret of a new session of an account."""
        secret, now = secrets.token_urlsafe(32), self._clock()
        self._run(
            "DELETE FROM session WHERE created_s < ? OR seen_s < ?",
            now - SESSION_S,
            now - IDLE_SESSION_S,
        )
        self._run(
            "DELETE FROM session WHERE hash IN "
            "(SELECT hash FROM session ORDER BY seen_s DESC LIMIT -1 OFFSET ?)",
            MAX_SESSIONS - 1,
        )
        values = (_digest(secret), name, now, now, address)
        self._run("INSERT INTO session VALUES (?, ?, ?, ?, ?)", *values)
        return secret

    def find_session(self, secret: str) -> Identity | None:
        """Return the identity of a session that has not ended."""
        digest, now = _digest(secret), self._clock()
        rows = self._run(
            "SELECT name, role, seen_s FROM session JOIN account ON account = name "
            "WHERE session.hash = ? AND created_s >= ? AND seen_s >= ?",
            digest,
            now - SESSION_S,
            now - IDLE_SESSION_S,
        )
        if not rows:
            return None
        name, role, seen_s = rows[0]
        if now - seen_s > SEEN_INTERVAL_S:
            self._run("UPDATE session SET seen_s = ? WHERE hash = ?", now, digest)
        return Identity(name, Role(role), digest)

    def close_session(self, digest: bytes) -> None:
        """End a session."""
        self._run("DELETE FROM session WHERE hash = ?", digest)

    def create_token(self, name: str, role: Role) -> str:
        """Return a new API token; it replaces one of the same name and cannot be shown again."""
        secret = secrets.token_urlsafe(32)
        values = (check_name(name), int(role), _digest(secret), self._clock())
        self._run("INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?)", *values)
        return secret

    def find_token(self, secret: str) -> Identity | None:
        """Return the identity of an API token."""
        rows = self._run("SELECT name, role FROM token WHERE hash = ?", _digest(secret))
        return Identity(rows[0][0], Role(rows[0][1])) if rows else None

    def _hash(self, password: str, salt: bytes) -> bytes:
        with self._hashing:
            # 16 MB and about 0.2 s
            return hashlib.scrypt(
                password.encode(), salt=salt, n=2**14, r=8, p=5, maxmem=64 * 2**20, dklen=32
            )


def check_name(name: str) -> str:
    """Return a name of an account or token; raise ConfigError if it is not acceptable."""
    name = name.strip()
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise ConfigError(f"expected a name of 1 to 64 printable characters, found {name!r}")
    return name


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
