"""Set up logging for a terminal, a file, systemd's journal, or a live view."""

import logging
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TextIO

from asd_monitor.terminal.escape import in_lines, on_one_line
from asd_monitor.terminal.json_log import JsonFormatter, LogFormat, encode_entry
from asd_monitor.terminal.wrapping import wrap

FORMAT = "%(asctime)s %(levelname)s %(message)s"
JOURNAL_FORMAT = "%(levelname)s %(message)s"
JOURNAL_PRIORITY = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""The journal's priority of each level, as in ``sd-daemon(3)``."""


@dataclass(slots=True)
class _Choice:
    """What was chosen for this process, whose logging is set up several times."""

    log_format: LogFormat = LogFormat.TEXT
    machines: Callable[[], Collection[str]] = tuple


_choice = _Choice()
SUPPRESSED_IN_LIVE_VIEW = "asd_monitor.sinks.log"
"""The live view displays what this logger reports by itself."""


class _LiveViewHandler(logging.Handler):
    """Pass warnings to a live view; lines written to its terminal would disturb the picture."""

    def __init__(self, show_message: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show_message = show_message
        self.addFilter(lambda record: record.name != SUPPRESSED_IN_LIVE_VIEW)

    def emit(self, record: logging.LogRecord) -> None:
        """Show one line."""
        self._show_message(f"{record.levelname} {on_one_line(record.getMessage())}")


class _LineFormatter(logging.Formatter):
    """Format a message as one line; only a traceback takes further lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line of a record."""
        record.message = on_one_line(record.message)
        return wrap(super().formatMessage(record), sys.stderr)


class _JournalFormatter(_LineFormatter):
    """Prefix every line, also those of a traceback, with its priority."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the prefixed lines of a record."""
        return _with_priority(super().format(record), record.levelno)


class _JournalJsonFormatter(JsonFormatter):
    """Prefix the object with its priority, which the journal removes."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the prefixed object of a record."""
        return _with_priority(super().format(record), record.levelno)


def choose_format(log_format: LogFormat) -> None:
    """Use a format for what this process logs and prints as its last error from now on."""
    _choice.log_format = log_format
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
            handler.setFormatter(_make_formatter(os.environ))


def name_machines(machines: Callable[[], Collection[str]]) -> None:
    """Take the ids of the machines from a function, for the objects of messages about them."""
    _choice.machines = machines


def set_up(
    *, show_message: Callable[[str], None] | None = None, environ: Mapping[str, str] = os.environ
) -> None:
    """Log to stderr, or only warnings to a live view.

    Parameters
    ----------
    show_message
        Displays a line in a live view; None without one.
    environ
        Where the journal, which adds the time itself, is looked up.
    """
    handler = _stderr_handler(environ) if show_message is None else _LiveViewHandler(show_message)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def print_error(text: str, *, environ: Mapping[str, str] = os.environ) -> None:
    """Print on stderr why the program ends; the journal receives it at priority ``err``.

    Parameters
    ----------
    text
        One or more lines; control characters in them are escaped.
    environ
        Where the journal is looked up.
    """
    text = in_lines(text)
    if _choice.log_format is LogFormat.JSON:
        text = encode_entry(time.time(), "ERROR", text)
    if _is_journal(sys.stderr, environ):
        text = _with_priority(text, logging.ERROR)
    sys.stderr.write(f"{wrap(text, sys.stderr)}\n")


def _stderr_handler(environ: Mapping[str, str]) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_make_formatter(environ))
    return handler


def _make_formatter(environ: Mapping[str, str]) -> logging.Formatter:
    is_journal = _is_journal(sys.stderr, environ)
    if _choice.log_format is LogFormat.JSON:
        kind = _JournalJsonFormatter if is_journal else JsonFormatter
        return kind(lambda: _choice.machines())
    if is_journal:
        return _JournalFormatter(JOURNAL_FORMAT)
    formatter = _LineFormatter(FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    return formatter


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether the journal reads the stream, which a service may have redirected."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a file of the system
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _with_priority(text: str, level: int) -> str:
    prefix = f"<{JOURNAL_PRIORITY.get(level, 6)}>"
    return "\n".join(prefix + line for line in text.splitlines())
