"""Lengths, channels and samples of training clips, with a hint on what to do about a bad clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd_monitor.audio.files import FORMATS, read_channels
from asd_monitor.audio.quality import without_offset
from asd_monitor.errors import DatasetError, SourceError
from asd_monitor.records import FloatArray

NEAR = (0,)
"""The channel that is used by default: of stereo challenges the microphone near the machine."""
NEAR_AND_FAR = (0, 1)
"""Both channels of stereo challenges: near the machine, and away from it."""
BAD_CLIP_HINT = "replace it by an intact recording, or remove it to train without it"


@dataclass(frozen=True, slots=True)
class ClipLength:
    """Number of frames, frame rate, and samples per frame."""

    frames: int
    rate_hz: int
    channels: int = 1

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate_hz


def read_length(path: Path) -> ClipLength:
    """Read the length of a recording from its header.

    Raises
    ------
    DatasetError
        If it cannot be read as audio, or holds no sound.
    """
    import soundfile

    try:
        info = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip(" .") or "damaged or cut short"
        msg = f"{path}: cannot be read as audio: {reason}; formats read: {FORMATS}"
        raise DatasetError(f"{msg}; {BAD_CLIP_HINT}") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    if info.frames <= 0:
        raise DatasetError(f"{path}: holds no sound (an unfinished recording?); {BAD_CLIP_HINT}")
    return ClipLength(info.frames, info.samplerate, info.channels)


def describe_unused_channels(channels: Sequence[int], used: Sequence[int], what: str) -> list[str]:
    """Return a sentence for the user if recordings have more channels than are used, else nothing.

    Parameters
    ----------
    channels
        Number of channels of each recording.
    used
        Indices of the channels that are used, from 0.
    what
        What the recordings are called.
    """
    several = sum(count > len(used) for count in channels)
    if not several:
        return []
    listed = " and ".join(map(str, used))
    which = f"channel {listed} (counted from 0) is" if len(used) == 1 else f"channels {listed} are"
    return [f"{several} of {len(channels)} {what} have several channels; only {which} used"]


def read_training_clip(path: Path, sample_rate_hz: int) -> FloatArray:
    """Read the first channel of a clip, ``(n,)``, without its constant offset.

    The monitor removes the offset as well. Errors are those of
    :func:`asd_monitor.audio.files.read_recording`, with a hint.
    """
    samples: FloatArray = read_training_channels(path, sample_rate_hz, NEAR)[0]
    return samples


def read_training_channels(path: Path, sample_rate_hz: int, channels: Sequence[int]) -> FloatArray:
    """Read channels of a clip, ``(channels, n)``, each without its constant offset.

    ``NEAR_AND_FAR`` are the two channels of a stereo challenge. Errors are those of
    :func:`read_training_clip`; a clip without one of the channels is such an error.
    """
    try:
        samples = read_channels(path, sample_rate_hz, channels)
    except SourceError as error:
        raise SourceError(f"{error}; {BAD_CLIP_HINT}") from error
    return np.stack([without_offset(row) for row in samples])
