"""Read recordings from files, completely or not at all: mono float32 at the model's rate."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asd_monitor.audio.quality import MIN_LEVEL_DBFS
from asd_monitor.errors import SourceError
from asd_monitor.records import FloatArray

if TYPE_CHECKING:
    import soundfile

RESAMPLE_QUALITY = "HQ"
"""soxr's quality setting for all conversions of the sample rate, live or from files."""
AUDIO_SUFFIXES = (".wav", ".wave", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".w64", ".au")
"""Suffixes of the recordings that every command finds in folders, in lower case."""
FORMATS = "WAV, FLAC, Ogg, MP3, AIFF, W64 and AU"
MIN_RATE_HZ = 1000
MAX_RATE_HZ = 768_000

_BLOCK_FRAMES = 65_536
# Recorders that write to a pipe do not know the length and leave a value near the maximum.
_UNKNOWN_LENGTH_BYTES = 0x7FFF_0000
# libsndfile reports only in its log that a file is shorter than its header says.
_SHORT_DATA = re.compile(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_SHORT_RF64 = re.compile(r"Calculated frame count (\d+) does not match .* of (\d+)")


def read_recording(
    path: Path | str, sample_rate_hz: int, channel: int = 0, min_samples: int = 1
) -> FloatArray:
    """Read one channel of a recording at a given sample rate.

    Parameters
    ----------
    path
        Any format that libsndfile reads: WAV of every width, FLAC, AIFF, Ogg, MP3 ...
    sample_rate_hz
        Sample rate of the result; other rates are converted (soxr, HQ).
    channel
        Which channel, from 0.
    min_samples
        Minimum length, such as a model's window.

    Returns
    -------
    samples
        ``(n,)`` float32, full scale = [-1, 1]; independent of the length of the blocks read.

    Raises
    ------
    SourceError
        If the file does not exist, is no audio, empty, truncated or too short, or has no such
        channel, a sample rate out of range, or samples that are not finite.
    """
    samples = np.concatenate([*iter_recording(path, sample_rate_hz, channel)])
    if len(samples) < min_samples:
        needed_s, found_s = min_samples / sample_rate_hz, len(samples) / sample_rate_hz
        raise SourceError(describe_too_short(path, needed_s, found_s))
    return samples


def read_channels(
    path: Path | str, sample_rate_hz: int, channels: Sequence[int], min_samples: int = 1
) -> FloatArray:
    """Read several channels of a recording, ``(channels, n)`` float32.

    All rows have the same length and the same first sample. Parameters and errors are otherwise
    those of :func:`read_recording`.
    """
    return np.stack(
        [read_recording(path, sample_rate_hz, channel, min_samples) for channel in channels]
    )


def read_model_input(
    path: Path | str, sample_rate_hz: int, channels: Sequence[int], min_samples: int = 1
) -> FloatArray:
    """Read what a model scores: ``(n,)`` of one channel, or ``(channels, n)`` of several."""
    read = read_channels(path, sample_rate_hz, channels, min_samples)
    return read if len(channels) > 1 else np.asarray(read[0])


def iter_model_input(
    path: Path | str, sample_rate_hz: int, channels: Sequence[int]
) -> Iterator[FloatArray]:
    """Yield what :func:`read_model_input` returns, block by block."""
    if len(channels) == 1:
        yield from iter_recording(path, sample_rate_hz, channels[0])
        return
    readers = [iter_recording(path, sample_rate_hz, channel) for channel in channels]
    for rows in zip(*readers, strict=True):
        yield np.stack(rows)


def describe_too_short(path: Path | str, needed_s: float, found_s: float) -> str:
    """Return why a recording is shorter than a window, and what to do."""
    return (
        f"{path}: too short: expected at least {needed_s:.3g} s (one window), "
        f"found {found_s:.3g} s; take a longer recording, or a model of shorter windows"
    )


def iter_recording(
    path: Path | str, sample_rate_hz: int, channel: int = 0, block_frames: int = _BLOCK_FRAMES
) -> Iterator[FloatArray]:
    """Yield what :func:`read_recording` returns, block by block; raise as it does.

    Blocks have any length, some are empty. A fault inside the file raises when it is reached.
    """
    import soxr

    path = Path(path)
    with _open(path) as sound_file:
        _check_header(sound_file, path, channel)
        rate_hz = sound_file.samplerate
        resampler = soxr.ResampleStream(
            rate_hz, sample_rate_hz, 1, dtype="float32", quality=RESAMPLE_QUALITY
        )
        remaining = sound_file.frames
        while remaining:
            block = sound_file.read(min(block_frames, remaining), dtype="float32", always_2d=True)
            if not len(block):
                end_s = (sound_file.frames - remaining) / rate_hz
                raise SourceError(f"{path}: cut short: the sound ends at {end_s:.3f} s")
            remaining -= len(block)
            samples = np.ascontiguousarray(block[:, channel])
            if not np.all(np.isfinite(samples)):
                raise SourceError(f"{path}: holds samples that are not finite numbers")
            if rate_hz == sample_rate_hz:
                yield samples
            else:
                yield resampler.resample_chunk(samples, last=remaining == 0)


@dataclass(frozen=True, slots=True)
class RecordingHeader:
    """What the header of a recording says."""

    rate_hz: int
    duration_s: float


def read_header(path: Path, channel: int = 0) -> RecordingHeader:
    """Read the header of a recording; raise as :func:`read_recording`."""
    with _open(path) as sound_file:
        _check_header(sound_file, path, channel)
        rate_hz = int(sound_file.samplerate)
        return RecordingHeader(rate_hz, sound_file.frames / rate_hz)


def find_channels_with_sound(path: Path) -> list[int]:
    """Return the channels of a recording that exceed the noise of an input; raise as its header.

    A recording is usually asked for them when the channel that was read is silent.
    """
    with _open(path) as sound_file:
        channels = sound_file.channels
        total, squares, count = np.zeros(channels), np.zeros(channels), 0
        while len(block := sound_file.read(_BLOCK_FRAMES, dtype="float64", always_2d=True)):
            total += block.sum(axis=0)
            squares += np.square(block).sum(axis=0)
            count += len(block)
    variance = squares / max(count, 1) - np.square(total / max(count, 1))
    return [int(channel) for channel in np.flatnonzero(variance > 10 ** (MIN_LEVEL_DBFS / 10))]


def describe_silent_channel(path: Path, channel: int) -> str:
    """Return which other channels of a recording have sound, for the user; empty if none has."""
    others = [other for other in find_channels_with_sound(path) if other != channel]
    if not others:
        return ""
    listed, verb = " and ".join(map(str, others)), "has" if len(others) == 1 else "have"
    return (
        f"{path}: channel {channel} is silent, but channel {listed} {verb} sound: "
        f"use `--channel {others[0]}`"
    )


@contextmanager
def _open(path: Path) -> "Iterator[soundfile.SoundFile]":
    import soundfile

    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "something else there"
            found = f"found {found if path.exists() else 'nothing there'}"
            raise SourceError(f"{path}: expected a recording, {found}")
        with soundfile.SoundFile(path) as sound_file:
            yield sound_file
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip() or "damaged or cut short"
        msg = f"{path}: cannot be read as audio: {reason.rstrip('.')}; formats read: {FORMATS}"
        raise SourceError(msg) from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    except (TypeError, ValueError) as error:  # headerless (.raw), or a NUL in the path
        raise SourceError(f"{str(path)!r}: cannot be read as audio: {error}") from error


def _check_header(sound_file: "soundfile.SoundFile", path: Path, channel: int) -> None:
    if sound_file.frames <= 0:
        raise SourceError(f"{path}: holds no sound (an unfinished recording?)")
    if not MIN_RATE_HZ <= sound_file.samplerate <= MAX_RATE_HZ:
        msg = (
            f"{path}: expected a sample rate in [{MIN_RATE_HZ}, {MAX_RATE_HZ}] Hz, "
            f"found {sound_file.samplerate} Hz"
        )
        raise SourceError(msg)
    if not 0 <= channel < sound_file.channels:
        msg = (
            f"{path}: has no channel {channel}: it has {sound_file.channels}, counted from 0; "
            "choose another"
        )
        raise SourceError(msg)
    truncated = _find_truncation(sound_file.extra_info)
    if truncated is not None:
        expected, found = truncated
        raise SourceError(f"{path}: cut short: its header says {expected}, found {found}")


def _find_truncation(log: str) -> tuple[str, str] | None:
    """Return the expected and the found length by libsndfile's log; None for a complete file."""
    data = _SHORT_DATA.search(log)
    if data:
        expected, found = int(data[1]), int(data[2])
        # One byte may be padding to an even length.
        if expected - found > 1 and expected < _UNKNOWN_LENGTH_BYTES:
            return f"{expected} bytes of sound", f"{found}"
    rf64 = _SHORT_RF64.search(log)
    if rf64 and int(rf64[2]) > int(rf64[1]):
        return f"{rf64[2]} frames", f"{rf64[1]}"
    return None
