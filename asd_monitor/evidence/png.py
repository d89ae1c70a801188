"""Write images as PNG files with a palette, with the standard library only."""

import struct
import zlib

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_COLOURS = 256

Pixels = npt.NDArray[np.uint8]


def encode_png(pixels: Pixels, palette: Pixels, text: dict[str, str] | None = None) -> bytes:
    """Return a PNG file.

    Parameters
    ----------
    pixels
        ``(height, width)`` indices into the palette; the first row is at the top.
    palette
        ``(colours, 3)`` red, green and blue.
    text
        Descriptions stored in the file, by keyword, such as ``Title``.
    """
    height, width = pixels.shape
    if len(palette) > MAX_COLOURS or int(pixels.max()) >= len(palette):
        raise ValueError("expected pixels that index a palette of at most 256 colours")
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with filter type 0
    rows[:, 1:] = pixels
    chunks = [
        _chunk(b"IHDR", header),
        _chunk(b"PLTE", palette.astype(np.uint8).tobytes()),
        *(
            _chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + value.encode())
            for keyword, value in (text or {}).items()
        ),
        _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
        _chunk(b"IEND", b""),
    ]
    return SIGNATURE + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
