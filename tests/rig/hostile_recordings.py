"""Recordings of every format and codec, truncated and empty ones, and files without audio."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

RATE_HZ = 16_000


def sound(frames: int = RATE_HZ, channels: int = 1, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return ``(frames, channels)`` float32 noise at -20 dBFS."""
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal((frames, channels))).astype(np.float32)


def encode(
    samples: npt.NDArray[np.float32] | None = None,
    subtype: str = "PCM_16",
    container: str = "WAV",
    rate_hz: int = RATE_HZ,
) -> bytes:
    """Return the bytes of a sound file."""
    file = io.BytesIO()
    samples = sound() if samples is None else samples
    soundfile.write(file, samples, rate_hz, subtype=subtype, format=container)
    return file.getvalue()


def with_data_size(wav: bytes, size: int) -> bytes:
    """Return a WAV file whose header states another length of its sound."""
    offset = wav.index(b"data") + 4
    return wav[:offset] + struct.pack("<I", size) + wav[offset + 4 :]


def with_header(wav: bytes, offset: int, fmt: str, value: int) -> bytes:
    """Return a WAV file with another number in its header."""
    changed = bytearray(wav)
    struct.pack_into(fmt, changed, offset, value)
    return bytes(changed)


def with_value(value: float) -> bytes:
    """Return a WAV file of floats, one of which is ``value``."""
    samples = sound()
    samples[5000] = value
    return encode(samples, "FLOAT")


READABLE: dict[str, Callable[[], bytes]] = {
    "8 bits": lambda: encode(subtype="PCM_U8"),
    "16 bits": encode,
    "24 bits": lambda: encode(subtype="PCM_24"),
    "32 bits": lambda: encode(subtype="PCM_32"),
    "float": lambda: encode(subtype="FLOAT"),
    "double": lambda: encode(subtype="DOUBLE"),
    "A-law": lambda: encode(subtype="ALAW"),
    "mu-law": lambda: encode(subtype="ULAW"),
    "IMA ADPCM": lambda: encode(subtype="IMA_ADPCM"),
    "WAVEX": lambda: encode(container="WAVEX"),
    "RF64": lambda: encode(container="RF64"),
    "FLAC named wav": lambda: encode(container="FLAC"),
    "two channels": lambda: encode(sound(channels=2)),
    "eight channels": lambda: encode(sound(channels=8)),
    "44.1 kHz": lambda: encode(sound(44_100), rate_hz=44_100),
    "48 kHz stereo, 24 bits": lambda: encode(sound(48_000, 2), "PCM_24", rate_hz=48_000),
    "8 kHz": lambda: encode(sound(8000), rate_hz=8000),
    "unknown length": lambda: with_data_size(encode(), 0xFFFFFFFF),
    "trailing junk": lambda: encode() + b"junk" * 9,
}
"""By kind: sound that must be read correctly."""

UNREADABLE: dict[str, Callable[[], bytes]] = {
    "zero bytes": lambda: b"",
    "text": lambda: b"this is not audio\n" * 50,
    "random bytes": lambda: np.random.default_rng(1).bytes(20_000),
    "truncated header": lambda: encode()[:30],
    "header only": lambda: encode()[:44],
    "data of size 0": lambda: with_data_size(encode(), 0),
    "truncated sound": lambda: encode()[:16_022],
    "truncated FLAC": lambda: encode(container="FLAC")[:9000],
    "rate 0": lambda: with_header(encode(), 24, "<I", 0),
    "rate 4 GHz": lambda: with_header(encode(), 24, "<I", 4_000_000_000),
    "no channel": lambda: with_header(encode(), 22, "<H", 0),
    "65535 channels": lambda: with_header(encode(), 22, "<H", 65_535),
    "NaN": lambda: with_value(np.nan),
    "infinity": lambda: with_value(np.inf),
    "shorter than a window": lambda: encode(sound(20)),
    "digital silence": lambda: encode(np.zeros((RATE_HZ, 1), np.float32)),
}
"""By kind: files that must be refused with a reason."""


def write_all(folder: Path, kinds: dict[str, Callable[[], bytes]], stem: str) -> dict[str, str]:
    """Write a file of each kind as ``<stem><number>.wav``; return the kind by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {}
    for number, (kind, make) in enumerate(kinds.items()):
        name = f"{stem}{number:08d}.wav"
        (folder / name).write_bytes(make())
        names[name] = kind
    return names
