"""Sample rates of a machine's learned recordings, as recorded: a file in their folder.

The recordings themselves are kept at the rate at which machines are learned.
"""

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from asd_monitor.storage.durable import write_durably

FILE_NAME = "sample_rates.json"

logger = logging.getLogger(__name__)


class RecordedRates:
    """The rates at which the recordings in a folder were recorded.

    Parameters
    ----------
    folder
        The machine's folder in ``recordings/``; the file moves with it into the archive.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._rates_hz = _read(self._path)

    @property
    def rates_hz(self) -> list[int]:
        """The known rates in ascending order."""
        return sorted(self._rates_hz)

    def add(self, rates_hz: Iterable[int | None]) -> None:
        """Note rates; None, for one that is not known, is ignored. A failure to write is logged."""
        new = {rate_hz for rate_hz in rates_hz if rate_hz} - self._rates_hz
        if not new:
            return
        self._rates_hz |= new
        try:
            write_durably(self._path, f"{json.dumps(self.rates_hz)}\n".encode())
        except OSError as error:
            logger.warning("%s: cannot be written: %s", self._path, error.strerror)


def _read(path: Path) -> set[int]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError) as error:
        logger.warning("%s: cannot be read: %s", path, error)
        return set()
    return {value for value in values if type(value) is int} if isinstance(values, list) else set()
