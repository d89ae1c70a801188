"""How log lines look: on a terminal, in a file, in systemd's journal, beside a live view."""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping

FORMAT = "%(asctime)s %(levelname)s %(message)s"
JOURNAL_FORMAT = "%(levelname)s %(message)s"
SHOWN_ANYWAY = "asd_monitor.sinks.log"
"""What this logger tells, a live view shows by itself."""


class _ToView(logging.Handler):
    """Hand warnings to a live view: lines written past it would tear the picture."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self.addFilter(lambda record: record.name != SHOWN_ANYWAY)

    def emit(self, record: logging.LogRecord) -> None:
        """Show one line."""
        self._tell(f"{record.levelname} {record.getMessage()}")


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
    handler = _to_stderr(environ) if tell is None else _ToView(tell)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def _to_stderr(environ: Mapping[str, str]) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    in_journal = "JOURNAL_STREAM" in environ
    formatter = logging.Formatter(JOURNAL_FORMAT if in_journal else FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    return handler
