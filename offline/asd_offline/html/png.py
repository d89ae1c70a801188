"""Small indexed PNG pictures of arrays, as text for a page that needs nothing from outside."""

import base64
import struct
import zlib

import numpy as np
import numpy.typing as npt

Levels = npt.NDArray[np.uint8]

# Colours that the palettes pass through, evenly spaced; dark to light, and blue - white - red.
SOUND = ("#0b0724", "#3b0f70", "#8c2981", "#de4968", "#fe9f6d", "#fcfdbf")
SIGNED = ("#0b3c8c", "#5e9bd6", "#f7f7f5", "#ee8a5b", "#9e1320")
RISING = ("#f7f7f5", "#fbc08a", "#ee8a5b", "#c63d2f", "#7f0d1c")


def levels(values: npt.ArrayLike, low: float, high: float, count: int = 64) -> Levels:
    """Return ``(rows, columns)`` uint8: which of ``count`` even steps from low to high it is."""
    scaled = (np.asarray(values, dtype=np.float64) - low) / max(high - low, 1e-12)
    steps = np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=0.0) * (count - 1)
    return np.clip(steps.round(), 0, count - 1).astype(np.uint8)


def data_uri(picture: Levels, colours: tuple[str, ...], count: int = 64) -> str:
    """Return a picture as a ``data:`` address; row 0 of the array is at the bottom."""
    rows, columns = picture.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    lines = np.zeros((rows, columns + 1), np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = picture[::-1]
    content = b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", palette(colours, count).tobytes()),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        ]
    )
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def palette(colours: tuple[str, ...], count: int) -> Levels:
    """Return ``(count, 3)`` uint8 on straight lines between the colours."""
    fixed = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], np.float64)
    places = np.linspace(0, len(colours) - 1, count)
    channels = [np.interp(places, np.arange(len(colours)), fixed[:, i]) for i in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
