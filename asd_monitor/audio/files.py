"""Recordings in files, read whole or not at all: mono float32 at the model's rate."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asd_monitor.errors import SourceError
from asd_monitor.records import FloatArray

if TYPE_CHECKING:
    import soundfile

RESAMPLE_QUALITY = "HQ"
"""soxr's setting wherever this program converts rates, live or from files."""
LOWEST_RATE_HZ = 1000
HIGHEST_RATE_HZ = 768_000

_BLOCK_FRAMES = 65_536
# Recorders that write into a pipe cannot know the length, and leave a value near the largest.
_UNKNOWN_LENGTH_BYTES = 0x7FFF_0000
# What libsndfile notes in its log, and there alone, when a file ends before its header says.
_SHORT_DATA = re.compile(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_SHORT_RF64 = re.compile(r"Calculated frame count (\d+) does not match .* of (\d+)")


def read_recording(
    path: Path | str, sample_rate_hz: int, channel: int = 0, at_least_samples: int = 1
) -> FloatArray:
    """Read one channel of a recording at the wanted rate.

    Parameters
    ----------
    path
        Any format that libsndfile reads: WAV of every width, FLAC, AIFF, Ogg, MP3 ...
    sample_rate_hz
        Rate of the result; other rates are converted (soxr, HQ).
    channel
        Which channel, from 0.
    at_least_samples
        Fewer samples than this are refused; a model's window length, say.

    Returns
    -------
    samples
        ``(n,)`` float32, full scale = [-1, 1]; the same as from a stream in blocks of any length.

    Raises
    ------
    SourceError
        If it is missing, no audio, empty, cut short, too short, has no such channel, an absurd
        rate, or samples that are not finite.
    """
    samples = np.concatenate([*iter_recording(path, sample_rate_hz, channel)])
    if len(samples) < at_least_samples:
        msg = (
            f"{path}: too short: expected at least {at_least_samples / sample_rate_hz:.3g} s "
            f"(one window), found {len(samples) / sample_rate_hz:.3g} s; "
            "take a longer recording, or a model of shorter windows"
        )
        raise SourceError(msg)
    return samples


def iter_recording(
    path: Path | str, sample_rate_hz: int, channel: int = 0, block_frames: int = _BLOCK_FRAMES
) -> Iterator[FloatArray]:
    """Yield what :func:`read_recording` returns, block by block; raises as it does.

    Blocks are of any length, some empty. Trouble inside the file raises when it is reached.
    """
    import soxr

    path = Path(path)
    with _opened(path) as opened:
        _check_header(opened, path, channel)
        rate_hz = opened.samplerate
        resampler = soxr.ResampleStream(
            rate_hz, sample_rate_hz, 1, dtype="float32", quality=RESAMPLE_QUALITY
        )
        remaining = opened.frames
        while remaining:
            block = opened.read(min(block_frames, remaining), dtype="float32", always_2d=True)
            if not len(block):
                at_s = (opened.frames - remaining) / rate_hz
                raise SourceError(f"{path}: cut short: the sound ends at {at_s:.3f} s")
            remaining -= len(block)
            samples = np.ascontiguousarray(block[:, channel])
            if not np.all(np.isfinite(samples)):
                raise SourceError(f"{path}: holds samples that are not finite numbers")
            if rate_hz == sample_rate_hz:
                yield samples
            else:
                yield resampler.resample_chunk(samples, last=remaining == 0)


def recording_s(path: Path, channel: int = 0) -> float:
    """Return a recording's length in seconds by its header; raises as :func:`read_recording`."""
    with _opened(path) as opened:
        _check_header(opened, path, channel)
        return float(opened.frames / opened.samplerate)


@contextmanager
def _opened(path: Path) -> "Iterator[soundfile.SoundFile]":
    import soundfile

    try:
        if not path.is_file():
            found = "found something else there" if path.exists() else "found nothing there"
            raise SourceError(f"{path}: expected a recording, {found}")
        with soundfile.SoundFile(path) as opened:
            yield opened
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip() or "damaged or cut short"
        raise SourceError(f"{path}: cannot be read as audio: {reason}") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    except (TypeError, ValueError) as error:  # headerless (.raw), or a NUL in the path
        raise SourceError(f"{str(path)!r}: cannot be read as audio: {error}") from error


def _check_header(opened: "soundfile.SoundFile", path: Path, channel: int) -> None:
    if opened.frames <= 0:
        raise SourceError(f"{path}: holds no sound (an unfinished recording?)")
    if not LOWEST_RATE_HZ <= opened.samplerate <= HIGHEST_RATE_HZ:
        msg = (
            f"{path}: expected a sample rate in [{LOWEST_RATE_HZ}, {HIGHEST_RATE_HZ}] Hz, "
            f"found {opened.samplerate} Hz"
        )
        raise SourceError(msg)
    if not 0 <= channel < opened.channels:
        msg = (
            f"{path}: has no channel {channel}: it has {opened.channels}, counted from 0; "
            "choose another"
        )
        raise SourceError(msg)
    short = _missing(opened.extra_info)
    if short is not None:
        raise SourceError(f"{path}: cut short: its header says {short[0]}, found {short[1]}")


def _missing(log: str) -> tuple[str, str] | None:
    """Return what libsndfile noted as promised and found, if the file ends too early."""
    data = _SHORT_DATA.search(log)
    if data:
        promised, found = int(data[1]), int(data[2])
        # One byte may be padding to an even length.
        if promised - found > 1 and promised < _UNKNOWN_LENGTH_BYTES:
            return f"{promised} bytes of sound", f"{found}"
    rf64 = _SHORT_RF64.search(log)
    if rf64 and int(rf64[2]) > int(rf64[1]):
        return f"{rf64[2]} frames", f"{rf64[1]}"
    return None
