"""Images embedded in a page."""

import base64
import io

import numpy as np
from PIL import Image

from asd_offline.html.images import png_data_uri


def pixels(uri: str) -> np.ndarray:
    png = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def test_row_0_is_at_the_bottom_and_the_scale_runs_from_low_to_high() -> None:
    image = pixels(png_data_uri([[0.0, -9.0], [1.0, 9.0]], 0.0, 1.0, "gray"))
    assert image[..., 0].tolist() == [[255, 255], [0, 0]]
    assert image[..., 3].tolist() == [[255, 255], [255, 255]]


def test_nan_is_transparent() -> None:
    image = pixels(png_data_uri([[0.0, np.nan]], 0.0, 1.0, "gray"))
    assert image[0, :, 3].tolist() == [255, 0]
