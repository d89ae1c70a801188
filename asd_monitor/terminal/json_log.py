"""Log messages as JSON: one object per line."""

import json
import logging
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from asd_monitor.terminal.escape import on_one_line


class LogFormat(StrEnum):
    """How messages are written to the log."""

    TEXT = "text"
    """A line for people."""
    JSON = "json"
    """An object with `time`, `level`, `logger` and `message`, and if known with `machine` and
    `fields`."""


class JsonFormatter(logging.Formatter):
    """Format a message as one JSON object on one line.

    Parameters
    ----------
    machines
        Returns the ids of the machines: a message that begins with one is about that machine.
    """

    def __init__(self, machines: Callable[[], Collection[str]] = tuple) -> None:
        super().__init__()
        self._machines = machines

    def format(self, record: logging.LogRecord) -> str:
        """Return the object of a record; `fields` are those passed as ``extra={"fields": ...}``."""
        text, fields = record.getMessage(), dict(getattr(record, "fields", {}))
        machine = self._find_machine(record)
        if machine:
            text = text.removeprefix(f"{machine}: ")
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return encode_entry(
            record.created, record.levelname, text, record.name, machine=machine, fields=fields
        )

    def _find_machine(self, record: logging.LogRecord) -> str:
        arguments = record.args
        if isinstance(arguments, tuple) and arguments and str(record.msg).startswith("%s: "):
            first = arguments[0]
            if isinstance(first, str) and first in self._machines():
                return first
        return ""


def encode_entry(
    at_s: float,
    level: str,
    message: str,
    logger: str = "asd_monitor",
    *,
    machine: str = "",
    fields: dict[str, Any] | None = None,
) -> str:
    """Return a message of the log as a JSON object on one line."""
    stamp = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
    entry: dict[str, Any] = {"time": stamp.removesuffix("+00:00") + "Z", "level": level.lower()}
    if machine:
        entry["machine"] = machine
    entry |= {"message": on_one_line(message), "logger": logger}
    if fields:
        entry["fields"] = fields
    return json.dumps(entry, ensure_ascii=False, default=str)
