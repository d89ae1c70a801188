"""The files of a machine's continued calibration in the state folder."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from asd_monitor.recalibration.extension import Extension
from asd_monitor.recalibration.sample import CalibrationSample

logger = logging.getLogger(__name__)

FOLDER = "calibration"

_Content = TypeVar("_Content")


@dataclass(frozen=True, slots=True)
class CalibrationFiles:
    """Paths of the files of one machine; they contain scores and levels, and no sound.

    Attributes
    ----------
    root
        The state folder.
    machine
        Name of the machine.
    """

    root: Path
    machine: str

    @property
    def sample(self) -> Path:
        """Scores of normal operation, from which the limits are computed."""
        return self.root / FOLDER / f"{self.machine}.sample"

    @property
    def extension(self) -> Path:
        """Limits computed from the sample, which are in use."""
        return self.root / FOLDER / f"{self.machine}.json"

    @property
    def hours(self) -> Path:
        """Medians of each hour, for the drift report."""
        return self.root / FOLDER / f"{self.machine}.hours"

    @property
    def exists(self) -> bool:
        """Whether there is a sample or an extension."""
        return self.sample.exists() or self.extension.exists()

    def reset(self) -> bool:
        """Delete sample and extension; return whether there was one. Raise OSError on failure."""
        existing = [path for path in (self.extension, self.sample) if path.exists()]
        for path in existing:
            path.unlink(missing_ok=True)
        return bool(existing)

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file that may exist."""
        files = (self.sample, self.extension, self.hours)
        return (*files, *(path.with_name(f"{path.name}.damaged") for path in files))

    def read_sample(self) -> CalibrationSample | None:
        """Return the sample; None if there is none that can be used."""
        return _read(self.sample, CalibrationSample.read)

    def read_extension(self) -> Extension | None:
        """Return the extension; None if there is none that can be used."""
        return _read(self.extension, Extension.read)


def _read(path: Path, read: Callable[[Path], _Content | None]) -> _Content | None:
    """Read a file; one that is damaged is renamed, and one that cannot be read is left alone."""
    try:
        return read(path)
    except OSError as error:
        logger.warning("%s: cannot be read: %s", path, error.strerror)
    except (ValueError, RecursionError) as error:
        damaged = path.with_name(f"{path.name}.damaged")
        try:
            path.replace(damaged)
        except OSError:
            damaged = path
        logger.warning("%s: %s; the calibration continues without it", damaged, error)
    return None
