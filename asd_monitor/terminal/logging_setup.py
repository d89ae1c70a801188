"""How log lines look: on a terminal, in a file, in systemd's journal, beside a live view."""

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO

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
SUPPRESSED_IN_LIVE_VIEW = "asd_monitor.sinks.log"
"""The live view displays the facts that this logger reports by itself."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def on_one_line(text: str) -> str:
    """Return text with line breaks and other control characters escaped; a file's name has any."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _LiveViewHandler(logging.Handler):
    """Hand warnings to a live view: lines written past it would tear the picture."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self.addFilter(lambda record: record.name != SUPPRESSED_IN_LIVE_VIEW)

    def emit(self, record: logging.LogRecord) -> None:
        """Show one line."""
        self._tell(f"{record.levelname} {on_one_line(record.getMessage())}")


class _LineFormatter(logging.Formatter):
    """Keep a message on its line; only a traceback has lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line of a record."""
        record.message = on_one_line(record.message)
        return super().formatMessage(record)


class _JournalFormatter(_LineFormatter):
    """Mark every line, those of a traceback as well, with its priority."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the marked lines of a record."""
        return _marked(super().format(record), record.levelno)


def set_up(
    *, tell: Callable[[str], None] | None = None, environ: Mapping[str, str] = os.environ
) -> None:
    """Log to stderr, or warnings alone to a live view.

    Parameters
    ----------
    tell
        Shows a line in a live view; None where there is none.
    environ
        Where the journal, which has times of its own, is looked up.
    """
    handler = _to_stderr(environ) if tell is None else _LiveViewHandler(tell)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def print_error(text: str, *, environ: Mapping[str, str] = os.environ) -> None:
    """Print on stderr why the program ends; the journal receives it at priority ``err``.

    Parameters
    ----------
    text
        One line or several.
    environ
        Where the journal is looked up.
    """
    told = _marked(text, logging.ERROR) if _is_journal(sys.stderr, environ) else text
    sys.stderr.write(f"{told}\n")


def _to_stderr(environ: Mapping[str, str]) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    if _is_journal(sys.stderr, environ):
        handler.setFormatter(_JournalFormatter(JOURNAL_FORMAT))
        return handler
    formatter = _LineFormatter(FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    return handler


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether the journal reads this; what a service has redirected is none of it."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a file of the system
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _marked(text: str, level: int) -> str:
    mark = f"<{JOURNAL_PRIORITY.get(level, 6)}>"
    return "\n".join(mark + line for line in text.splitlines())
