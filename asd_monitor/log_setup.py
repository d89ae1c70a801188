"""How log lines look: on a terminal, in a file, in systemd's journal."""

import logging
import os
import sys
import time
from collections.abc import Mapping

FORMAT = "%(asctime)s %(levelname)s %(message)s"
JOURNAL_FORMAT = "%(levelname)s %(message)s"


def set_up(*, quiet: bool = False, environ: Mapping[str, str] = os.environ) -> None:
    """Log to stderr; the journal has times of its own.

    Parameters
    ----------
    quiet
        True for warnings and errors only, as beside a live view.
    environ
        Where the journal is looked up.
    """
    handler = logging.StreamHandler(sys.stderr)
    in_journal = "JOURNAL_STREAM" in environ
    formatter = logging.Formatter(JOURNAL_FORMAT if in_journal else FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO, handlers=[handler], force=True
    )
