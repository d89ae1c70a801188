"""Write and read the sound of events: 16-bit FLAC, at the model's sample rate."""

import io
import os
from pathlib import Path

import numpy as np

from asd_monitor.errors import SourceError
from asd_monitor.evidence.ring import Int16Array

UNFINISHED_SUFFIX = ".part"


def encode_flac(samples: Int16Array, sample_rate_hz: int) -> bytes:
    """Return samples as a FLAC file."""
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, samples, sample_rate_hz, subtype="PCM_16", format="FLAC")
    return content.getvalue()


def read_flac(path: Path) -> Int16Array:
    """Return the samples of a clip.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    import soundfile

    try:
        samples, _ = soundfile.read(path, dtype="int16")
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise SourceError(f"{path}: the clip cannot be read: {error}") from error
    return np.asarray(samples, np.int16)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it is complete or absent, even after a loss of power.

    The folder must exist.
    """
    unfinished = path.with_name(path.name + UNFINISHED_SUFFIX)
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
