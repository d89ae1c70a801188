"""Draw the labels of ticks: digits and the letters of Hz, kHz and s, in 5 by 7 pixels."""

import numpy as np

from asd_monitor.evidence.png import Pixels

GLYPHS = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    "H": "10001 10001 10001 11111 10001 10001 10001",
    "k": "10000 10000 10010 10100 11000 10100 10010",
    "s": "00000 00000 01111 10000 01110 00001 11110",
    "z": "00000 00000 11111 00010 00100 01000 11111",
    ".": "00000 00000 00000 00000 00000 01100 01100",
    " ": "000 000 000 000 000 000 000",
}
SCALE = 2
GAP_PX = 1


def text_width(text: str) -> int:
    """Return the width of a text in pixels."""
    return SCALE * sum(len(GLYPHS[char].split()[0]) + GAP_PX for char in text)


def draw_text(pixels: Pixels, text: str, x: int, y: int, colour: int, outline: int) -> None:
    """Draw a text whose upper left corner is at ``x``, ``y``, with an outline around it."""
    height = 7 * SCALE
    mask = np.zeros((height + 4, text_width(text) + 4), np.bool_)
    left = 2
    for char in text:
        rows = [[bit == "1" for bit in row] for row in GLYPHS[char].split()]
        glyph = np.kron(np.array(rows), np.ones((SCALE, SCALE), np.bool_))
        mask[2 : 2 + height, left : left + glyph.shape[1]] = glyph
        left += glyph.shape[1] + SCALE * GAP_PX
    around = np.zeros_like(mask)
    for down in (-2, -1, 0, 1, 2):
        for right in (-2, -1, 0, 1, 2):
            around |= np.roll(mask, (down, right), (0, 1))
    top, first = y - 2, x - 2
    inside = pixels[max(0, top) : top + mask.shape[0], max(0, first) : first + mask.shape[1]]
    rows_cut, columns_cut = max(0, -top), max(0, -first)
    for part, index in ((around, outline), (mask, colour)):
        visible = part[rows_cut:, columns_cut:][: inside.shape[0], : inside.shape[1]]
        inside[visible] = index
