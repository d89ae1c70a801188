"""Training clips as files: how long one is, and its samples; with what to do about a bad one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.audio.files import read_recording
from asd_monitor.errors import DatasetError, SourceError
from asd_monitor.records import FloatArray

PUT_RIGHT = "put a whole recording there, or remove it to train without it"
"""What to do about a training clip that is no use."""


@dataclass(frozen=True, slots=True)
class ClipLength:
    """Frames, their rate, and of how many samples a frame is."""

    frames: int
    rate_hz: int
    channels: int = 1

    @property
    def seconds(self) -> float:
        """Length in s."""
        return self.frames / self.rate_hz


def length_of(path: Path) -> ClipLength:
    """Return the length of a recording.

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
        msg = f"{path}: cannot be read as audio: {reason}"
        raise DatasetError(f"{msg}; {PUT_RIGHT}") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    if info.frames <= 0:
        raise DatasetError(f"{path}: holds no sound (an unfinished recording?); {PUT_RIGHT}")
    return ClipLength(info.frames, info.samplerate, info.channels)


def which_channel(channels: Sequence[int], used: int, what: str) -> list[str]:
    """Return a sentence for the user where recordings have several channels.

    Parameters
    ----------
    channels
        How many each recording has.
    used
        Which is used, from 0.
    what
        What the recordings are called.
    """
    several = sum(each > 1 for each in channels)
    if not several:
        return []
    found = f"{several} of {len(channels)} {what} have several channels"
    return [f"{found}: of these channel {used} is used, counted from 0, and no other"]


def read_training_clip(path: Path, sample_rate_hz: int) -> FloatArray:
    """Return a clip as :func:`asd_monitor.audio.files.read_recording` does; raises as it does."""
    try:
        return read_recording(path, sample_rate_hz)
    except SourceError as error:
        raise SourceError(f"{error}; {PUT_RIGHT}") from error
