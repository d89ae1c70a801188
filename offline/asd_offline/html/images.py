"""Arrays as small PNG images inside a page, and the colour bars that explain them."""

import base64
import io

import numpy as np
import numpy.typing as npt

COLOURS = 64
"""Colours of an image; more would enlarge the file without a visible difference."""


def png_data_uri(values: npt.ArrayLike, low: float, high: float, colour_map: str) -> str:
    """Return an array as a ``data:`` address of a PNG with a palette.

    Parameters
    ----------
    values
        Shape ``(rows, columns)``; row 0 is drawn at the bottom, NaN is transparent.
    low, high
        Values of the first and the last colour; what lies outside gets the nearer one.
    colour_map
        Name of a matplotlib colour map.
    """
    from PIL import Image

    scaled = (np.flipud(np.asarray(values, np.float64)) - low) / max(high - low, 1e-12)
    indices = np.rint(np.clip(scaled, 0.0, 1.0) * (COLOURS - 1))
    transparent = COLOURS
    image = Image.fromarray(np.nan_to_num(indices, nan=transparent).astype(np.uint8))
    image.putpalette(_palette(colour_map, COLOURS).tobytes() + bytes(3))
    png = io.BytesIO()
    image.save(png, "png", optimize=True, transparency=transparent)
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")


def colour_bar(low: str, high: str, colour_map: str) -> str:
    """Return a colour map as a strip between the texts of its lowest and highest value."""
    stops = ",".join(f"rgb({r} {g} {b})" for r, g, b in _palette(colour_map, 9))
    return (
        f'<span class="colourbar">{low}<i style="background:linear-gradient(90deg,{stops})"></i>'
        f"{high}</span>"
    )


def _palette(colour_map: str, count: int) -> npt.NDArray[np.uint8]:
    """Return ``count`` evenly spaced colours, shape ``(count, 3)``."""
    from matplotlib import colormaps

    colours = colormaps[colour_map](np.linspace(0.0, 1.0, count), bytes=True)
    return np.asarray(colours[:, :3], np.uint8)
