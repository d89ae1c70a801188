"""Draw the spectrogram of a clip, with the deviating bands and times framed.

The picture fills the image, so that a position in it is a time and a frequency: a page can draw
axes and a play cursor over it. Ticks with their numbers are inside the image, because a message
shows it alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.evidence.digits import draw_text, text_width
from asd_monitor.evidence.png import Pixels, encode_png
from asd_monitor.normal_sound.band_levels import FLOOR_POWER, MIN_FREQUENCY_HZ, BandFrames

WIDTH, HEIGHT = 960, 320
COLUMN_PX, ROW_PX = 2, 4
COLUMNS, ROWS = WIDTH // COLUMN_PX, HEIGHT // ROW_PX
COLOURS = 64
MAX_RANGE_DB = 70.0
MIN_DIFFERENCE_DB, MAX_DIFFERENCE_DB = 12.0, 30.0
"""Bounds of the difference from normal sound that has the last colour."""
FREQUENCY_TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 40_000)
TIME_STEPS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300)
MAX_TIME_TICKS = 8
TICK_PX = 7
FRAME_PX = 2

VIRIDIS = "440154482475414487355f8d2a788e21918c22a88444bf707ad151bddf26fde725"
"""Eleven colours, three bytes each, of viridis (Smith, van der Walt and Firing, 2015, CC0), which
is perceptually uniform and also ordered in brightness for readers with colour blindness."""
WHITE, BLACK, ORANGE = COLOURS, COLOURS + 1, COLOURS + 2
"""Indices in the palette after those of the colour map."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A part of the spectrogram to frame."""

    low_hz: float
    high_hz: float
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class Scale:
    """What the colours stand for, common to several sounds."""

    low_db: float
    """Level of the first colour."""
    high_db: float
    """Level of the last colour."""
    usual_db: npt.NDArray[np.float64] | None = None
    """``(ROWS,)``: the level of normal sound, which is subtracted first; None: nothing is."""

    def positions(self, levels_db: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return where levels ``(rows, columns)`` are between the first and the last colour."""
        if self.usual_db is not None:
            levels_db = levels_db - self.usual_db[:, None]
        return (levels_db - self.low_db) / (self.high_db - self.low_db)


def level_scale(spectrograms: Sequence[BandFrames]) -> Scale:
    """Return a scale of levels."""
    levels = np.concatenate([row_levels_db(frames).ravel() for frames in spectrograms])
    highest = float(np.quantile(levels, 0.999))
    lowest = max(float(np.quantile(levels, 0.02)), highest - MAX_RANGE_DB)
    return Scale(min(lowest, highest - 1.0), highest)


def difference_scale(sound: BandFrames, normal: BandFrames) -> Scale:
    """Return a scale of differences from normal sound, in each row from its median.

    A change of some decibels in a quiet band is invisible on a scale of levels, which spans as much
    as the loudest and the quietest band differ.
    """
    usual_db: npt.NDArray[np.float64] = np.median(row_levels_db(normal), axis=1)
    differences_db = row_levels_db(sound) - usual_db[:, None]
    highest = float(np.quantile(differences_db, 0.995))
    high_db = min(max(highest, MIN_DIFFERENCE_DB), MAX_DIFFERENCE_DB)
    return Scale(-high_db / 2, high_db, usual_db)


def row_levels_db(frames: BandFrames, min_column_s: float = 0.0) -> npt.NDArray[np.float64]:
    """Return the levels of a sound for the picture, ``(rows, columns)``; row 0 is the lowest.

    Bins within a row, and frames within a column of at least ``min_column_s``, are averaged; those
    of a coarser spectrum are interpolated.
    """
    spectrum = frames.spectrum
    frames_a_column = max(1.0, min_column_s / frames.hop_s)
    columns = max(1, min(COLUMNS, int(len(spectrum) / frames_a_column)))
    time_edges = np.linspace(0, len(spectrum), columns + 1).round().astype(np.int64)
    by_time = np.add.reduceat(spectrum, time_edges[:-1], axis=0) / np.diff(time_edges)[:, None]
    cumulative = np.concatenate([np.zeros((columns, 1)), np.cumsum(by_time, axis=1)], axis=1)
    bin_hz = frames.sample_rate_hz / 2 / (spectrum.shape[1] - 1)
    # A bin covers half a bin to either side of its centre.
    positions = np.clip(row_edges_hz(frames.sample_rate_hz) / bin_hz + 0.5, 0, spectrum.shape[1])
    below = np.minimum(positions.astype(np.int64), spectrum.shape[1] - 1)
    integral = cumulative[:, below] + (positions - below) * by_time[:, below]
    mean = np.diff(integral, axis=1) / np.maximum(np.diff(positions), 1e-9)
    levels: npt.NDArray[np.float64] = 10 * np.log10(np.maximum(mean, FLOOR_POWER)).T
    return levels


def row_edges_hz(sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """Return the edges of the rows in Hz, ``(ROWS + 1,)``: the axis is logarithmic."""
    return np.geomspace(MIN_FREQUENCY_HZ, sample_rate_hz / 2, ROWS + 1)


def y_fraction(frequency_hz: float, sample_rate_hz: int) -> float:
    """Return the position of a frequency: 0 at the bottom of the picture, 1 at its top."""
    octaves = np.log2(np.array([frequency_hz, sample_rate_hz / 2]) / MIN_FREQUENCY_HZ)
    return float(np.clip(octaves[0] / octaves[1], 0, 1))


def draw_picture(
    frames: BandFrames,
    duration_s: float,
    scale: Scale,
    marks: Sequence[Mark] = (),
    counted_s: Sequence[tuple[float, float]] = (),
    title: str = "",
    min_column_s: float = 0.0,
) -> bytes:
    """Draw a sound as a PNG.

    Parameters
    ----------
    frames
        The sound.
    duration_s
        Its length, which is the width of the picture.
    scale
        What the colours stand for.
    marks
        Parts to frame.
    counted_s
        Times at which the score was above its limit: a line at the top.
    title
        Stored in the file, as its title.
    min_column_s
        Shortest time that can be distinguished.
    """
    levels = scale.positions(row_levels_db(frames, min_column_s))
    indices = np.clip(levels * (COLOURS - 1), 0, COLOURS - 1).round().astype(np.uint8)
    columns = np.linspace(0, indices.shape[1], WIDTH, endpoint=False).astype(np.int64)
    pixels = np.ascontiguousarray(np.repeat(indices[::-1][:, columns], ROW_PX, axis=0))
    for mark in marks:
        _draw_frame(pixels, mark, duration_s, frames.sample_rate_hz)
    for from_s, to_s in counted_s:
        first, last = _x(from_s, duration_s), max(_x(to_s, duration_s), _x(from_s, duration_s) + 2)
        pixels[:6, first:last] = BLACK
        pixels[:4, first:last] = ORANGE
    _draw_ticks(pixels, duration_s, frames.sample_rate_hz)
    return encode_png(pixels, _palette(), {"Title": title} if title else None)


def _draw_frame(pixels: Pixels, mark: Mark, duration_s: float, sample_rate_hz: int) -> None:
    left, right = _x(mark.from_s, duration_s), _x(mark.to_s, duration_s)
    bottom = HEIGHT - round(y_fraction(mark.low_hz, sample_rate_hz) * HEIGHT)
    top = HEIGHT - round(y_fraction(mark.high_hz, sample_rate_hz) * HEIGHT)
    # Around the part, so that it remains visible.
    left, right = max(0, left - FRAME_PX - 2), min(WIDTH, max(right, left + 4) + FRAME_PX + 2)
    top, bottom = max(0, top - FRAME_PX - 2), min(HEIGHT, max(bottom, top + 4) + FRAME_PX + 2)
    _draw_rectangle(pixels, left, top, right, bottom, BLACK, FRAME_PX + 2)
    _draw_rectangle(pixels, left + 1, top + 1, right - 1, bottom - 1, WHITE, FRAME_PX)


def _draw_rectangle(
    pixels: Pixels, left: int, top: int, right: int, bottom: int, colour: int, width: int
) -> None:
    pixels[top : top + width, left:right] = colour
    pixels[max(top, bottom - width) : bottom, left:right] = colour
    pixels[top:bottom, left : left + width] = colour
    pixels[top:bottom, max(left, right - width) : right] = colour


def _draw_ticks(pixels: Pixels, duration_s: float, sample_rate_hz: int) -> None:
    for frequency_hz in FREQUENCY_TICKS_HZ:
        y = HEIGHT - round(y_fraction(frequency_hz, sample_rate_hz) * HEIGHT)
        if not 12 < y < HEIGHT - 28:
            continue
        text = f"{frequency_hz} Hz" if frequency_hz < 1000 else f"{frequency_hz // 1000} kHz"
        _draw_tick(pixels, 0, y, TICK_PX, 1)
        draw_text(pixels, text, TICK_PX + 4, y - 7, WHITE, BLACK)
    step_s = next((s for s in TIME_STEPS_S if duration_s / s <= MAX_TIME_TICKS), TIME_STEPS_S[-1])
    for count in range(1, int(duration_s / step_s) + 1):
        x, text = _x(count * step_s, duration_s), f"{count * step_s:g} s"
        if x + text_width(text) // 2 > WIDTH - 2:
            continue
        _draw_tick(pixels, x, HEIGHT - TICK_PX, 1, TICK_PX)
        draw_text(pixels, text, x - text_width(text) // 2, HEIGHT - TICK_PX - 17, WHITE, BLACK)


def _draw_tick(pixels: Pixels, x: int, y: int, width: int, height: int) -> None:
    pixels[max(0, y - 1) : y + height + 1, max(0, x - 1) : x + width + 1] = BLACK
    pixels[y : y + height, x : x + width] = WHITE


def _palette() -> Pixels:
    anchors = np.frombuffer(bytes.fromhex(VIRIDIS), np.uint8).reshape(-1, 3)
    positions = np.linspace(0, len(anchors) - 1, COLOURS)
    colours = np.stack(
        [np.interp(positions, np.arange(len(anchors)), anchors[:, i]) for i in range(3)], axis=1
    )
    extra = np.array([[255, 255, 255], [16, 16, 16], [255, 140, 0]])
    return np.concatenate([colours.round(), extra]).astype(np.uint8)


def _x(at_s: float, duration_s: float) -> int:
    return round(min(max(at_s / duration_s, 0.0), 1.0) * WIDTH)
