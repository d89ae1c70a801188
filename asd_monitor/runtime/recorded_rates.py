"""Sample rates of a machine's learned recordings, as recorded: a file in their folder.

The recordings themselves are kept at the rate at which machines are learned.
"""

from collections.abc import Iterable
from pathlib import Path

from asd_monitor.runtime.recording_notes import read_notes, write_notes

FILE_NAME = "sample_rates.json"


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
        """Note rates; None, for one that is not known, is ignored."""
        new = {rate_hz for rate_hz in rates_hz if rate_hz} - self._rates_hz
        if not new:
            return
        self._rates_hz |= new
        write_notes(self._path, self.rates_hz)


def _read(path: Path) -> set[int]:
    return {value for value in read_notes(path) if type(value) is int}
