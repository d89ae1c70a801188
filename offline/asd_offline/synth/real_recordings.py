"""The normal recordings that faults are put into: found, read, and refused with a reason."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd_monitor.demo.pump_sound import DoubleArray
from asd_monitor.errors import ConfigError, DatasetError

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".aif", ".aiff"})
NOT_NORMAL = re.compile(r"anomal|abnormal|fault", re.IGNORECASE)
LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that can be used."""

    path: Path
    sample_rate_hz: int
    n_samples: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder holds."""

    recordings: tuple[Recording, ...]
    rejected: tuple[tuple[str, str], ...]
    """(path, reason) of each file that is not used."""


def find_recordings(folder: Path) -> Found:
    """Find all recordings below a folder that are not named as anomalous.

    Left out are recordings that cannot be read, are silent, not finite or shorter than 1 s, or
    have another sample rate than most.

    Raises
    ------
    ConfigError
        If the folder is not there.
    DatasetError
        If not one recording can be used.
    """
    if not folder.is_dir():
        msg = f"--inject {folder}: expected a folder of normal recordings, found none there"
        raise ConfigError(msg)
    recordings: list[Recording] = []
    rejected: list[tuple[str, str]] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        if NOT_NORMAL.search(str(path.relative_to(folder))):
            rejected.append((str(path), "its name says that it is not normal"))
            continue
        try:
            sound, sample_rate_hz = read_recording(path)
        except DatasetError as error:
            rejected.append((str(path), str(error)))
            continue
        recordings.append(Recording(path, sample_rate_hz, sound.size))
    usable = _of_one_rate(recordings, rejected)
    if not usable:
        reason = f", first {rejected[0][0]}: {rejected[0][1]}" if rejected else ""
        msg = (
            f"--inject {folder}: expected normal recordings ({', '.join(sorted(SUFFIXES))}), "
            f"found none that can be used among {len(rejected)}{reason}"
        )
        raise DatasetError(msg)
    return Found(tuple(usable), tuple(rejected))


def _of_one_rate(
    recordings: Sequence[Recording], rejected: list[tuple[str, str]]
) -> list[Recording]:
    rates = Counter(recording.sample_rate_hz for recording in recordings)
    if len(rates) < 2:
        return list(recordings)
    usual_hz = rates.most_common(1)[0][0]
    rejected += [
        (str(r.path), f"{r.sample_rate_hz} Hz, while most have {usual_hz} Hz")
        for r in recordings
        if r.sample_rate_hz != usual_hz
    ]
    return [recording for recording in recordings if recording.sample_rate_hz == usual_hz]


def read_recording(path: Path) -> tuple[DoubleArray, int]:
    """Read a recording's first channel as ``(n,)`` float64 in [-1, 1], and its rate in Hz.

    Raises
    ------
    DatasetError
        If it cannot be read, or holds nothing that a fault could be measured against.
    """
    import soundfile

    try:
        sound, sample_rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        msg = f"cannot be read: {error}"
        raise DatasetError(msg) from error
    first = np.ascontiguousarray(sound[:, 0])
    if first.size < LEAST_S * sample_rate_hz:
        msg = f"expected at least {LEAST_S:.0f} s, found {first.size / sample_rate_hz:.2f} s"
        raise DatasetError(msg)
    if not np.all(np.isfinite(first)):
        msg = "holds samples that are not finite"
        raise DatasetError(msg)
    if np.std(first) < 1e-5:
        msg = "is silent"
        raise DatasetError(msg)
    return first, int(sample_rate_hz)
