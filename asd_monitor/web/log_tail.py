"""The newest lines of the log, for the system page."""

import logging
import re
import time
from collections import deque

KEPT_LINES = 300
_KEY = re.compile(r"([?&]key=)[^\s&]+")
"""The key of the link that sets the first password."""


class LogTail(logging.Handler):
    """Keep the newest log lines in memory, without the keys of links."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        formatter = logging.Formatter(
            "%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ"
        )
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        try:
            self._lines.append(_KEY.sub(r"\1(removed)", self.format(record)))
        except Exception:
            self.handleError(record)

    def lines(self) -> list[str]:
        """Return the newest lines, oldest first."""
        return list(self._lines)
