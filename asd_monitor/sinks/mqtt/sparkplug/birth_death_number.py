"""The number that pairs a birth with its death, different for each session."""

import logging
import secrets
from contextlib import suppress
from pathlib import Path

from asd_monitor.storage.durable import write_durably

logger = logging.getLogger(__name__)

FILE_NAME = "sparkplug-bdseq"
NUMBERS = 256


class BirthDeathNumber:
    """A number from 0 to 255 that continues after a restart.

    The broker may publish the death of a killed monitor after the next one was born; a host then
    recognises by the number that the death is the old one.

    Parameters
    ----------
    path
        Where the number is kept; None, or if it cannot be read: it begins at random.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._problem = ""
        last = secrets.randbelow(NUMBERS)
        if path is not None:
            with suppress(OSError, ValueError):
                last = int(path.read_text(encoding="ascii"))
        self.value = (last + 1) % NUMBERS
        """The number of the next session."""

    def use(self) -> None:
        """Note that the broker knows the number."""
        if self._path is None:
            return
        try:
            write_durably(self._path, f"{self.value}\n".encode())
        except OSError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                logger.warning("Sparkplug: %s cannot be written: %s", self._path, error)

    def advance(self) -> None:
        """Choose the number of the session after the one that used this number."""
        self.value = (self.value + 1) % NUMBERS
