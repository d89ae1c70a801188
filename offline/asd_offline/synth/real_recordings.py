"""Find and read the normal recordings that faults are added to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd_monitor.audio.files import AUDIO_SUFFIXES
from asd_monitor.audio.label_words import find_labels, parse_folder
from asd_monitor.audio.natural_order import natural_key
from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.synthesis.signals import DoubleArray
from asd_offline.datasets.clip import ANOMALY

MIN_DURATION_S = 1.0


@dataclass(frozen=True, slots=True)
class Recording:
    """A usable recording."""

    path: Path
    sample_rate_hz: int
    n_samples: int


@dataclass(frozen=True, slots=True)
class Found:
    """The recordings of a folder."""

    recordings: tuple[Recording, ...]
    rejected: tuple[tuple[str, str], ...]
    """(path, reason) of each file that is ignored."""


def find_recordings(folder: Path) -> Found:
    """Find all recordings below a folder that are not named as anomalous.

    Recordings are rejected if they cannot be read, are silent, contain values that are not
    finite, are shorter than 1 s, or differ in sample rate from the majority.

    Raises
    ------
    ConfigError
        If the folder does not exist.
    DatasetError
        If no recording is usable.
    """
    if not folder.is_dir():
        msg = f"--inject {folder}: expected a folder of normal recordings, found no folder"
        raise ConfigError(msg)
    recordings: list[Recording] = []
    rejected: list[tuple[str, str]] = []
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    for path in sorted(paths, key=natural_key):
        if reason := _why_not_normal(path.relative_to(folder)):
            rejected.append((str(path), reason))
            continue
        try:
            sound, sample_rate_hz = read_recording(path)
        except DatasetError as error:
            rejected.append((str(path), str(error)))
            continue
        recordings.append(Recording(path, sample_rate_hz, sound.size))
    usable = _with_common_rate(recordings, rejected)
    if not usable:
        reason = f", first {rejected[0][0]}: {rejected[0][1]}" if rejected else ""
        msg = (
            f"--inject {folder}: expected normal recordings ({', '.join(AUDIO_SUFFIXES)}), "
            f"found {len(rejected)} files and none usable{reason}"
        )
        raise DatasetError(msg)
    return Found(tuple(usable), tuple(rejected))


def _why_not_normal(path: Path) -> str:
    if any(ANOMALY in find_labels(name) for name in (*path.parts[:-1], path.stem)):
        return "its name marks it as anomalous"
    if any(parse_folder(name).is_noise for name in path.parts[:-1]):
        return "background noise, not the sound of a machine"
    return ""


def _with_common_rate(
    recordings: Sequence[Recording], rejected: list[tuple[str, str]]
) -> list[Recording]:
    rates = Counter(recording.sample_rate_hz for recording in recordings)
    if len(rates) < 2:
        return list(recordings)
    common_hz = rates.most_common(1)[0][0]
    rejected += [
        (str(recording.path), f"{recording.sample_rate_hz} Hz, but most have {common_hz} Hz")
        for recording in recordings
        if recording.sample_rate_hz != common_hz
    ]
    return [recording for recording in recordings if recording.sample_rate_hz == common_hz]


def read_recording(path: Path) -> tuple[DoubleArray, int]:
    """Read a recording's first channel as ``(n,)``; otherwise as :func:`read_channels`."""
    channels, sample_rate_hz = read_channels(path)
    return channels[0], sample_rate_hz


def read_channels(path: Path) -> tuple[DoubleArray, int]:
    """Read a recording as ``(channels, n)`` float64 in [-1, 1], and its rate in Hz.

    Raises
    ------
    DatasetError
        If it cannot be read, or its first channel is too short or silent, or contains values that
        are not finite.
    """
    import soundfile

    try:
        sound, sample_rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        msg = f"cannot be read: {error}"
        raise DatasetError(msg) from error
    channels = np.ascontiguousarray(sound.T)
    first = channels[0]
    if first.size < MIN_DURATION_S * sample_rate_hz:
        msg = f"expected at least {MIN_DURATION_S:.0f} s, found {first.size / sample_rate_hz:.2f} s"
        raise DatasetError(msg)
    if not np.all(np.isfinite(first)):
        msg = "contains values that are not finite"
        raise DatasetError(msg)
    if np.std(first) < 1e-5:
        msg = "is silent"
        raise DatasetError(msg)
    return channels, int(sample_rate_hz)
