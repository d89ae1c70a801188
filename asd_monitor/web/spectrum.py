"""Columns of the live spectrogram, computed from the newest sound of a machine."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.evidence.ring import SoundRing
from asd_monitor.normal_sound.band_levels import MIN_FREQUENCY_HZ

BANDS = 64
COLUMNS_PER_S = 10
RANGE_DB = 90.0
"""A column's values 0 to 255 stand for this many dB below full scale to full scale."""
SCALE = 255 / RANGE_DB * 10
"""Factor of a column's values to the logarithm of a power."""
SILENCE = 1e-12
PART_COLUMNS = 20
MAX_COLUMNS = 50
"""Columns computed at once; older sound is left out."""

ByteColumns = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Columns:
    """Consecutive columns of a spectrogram."""

    values: ByteColumns
    """``(n, 64)``: level of each band, the lowest frequency first."""
    end: int
    """Index after the last sample that they describe."""
    sample_rate_hz: int


class ColumnReader:
    """Compute the columns of one machine's sound since the last call.

    Parameters
    ----------
    ring
        The machine's newest sound.
    past_columns
        Begin this many columns before the newest sound.
    """

    def __init__(self, ring: SoundRing, past_columns: int = 0) -> None:
        self._ring = ring
        self._past_columns = past_columns
        self._begin()

    def _begin(self) -> None:
        ring, past_columns = self._ring, self._past_columns
        self._rate_hz = ring.sample_rate_hz
        self._hop = self._rate_hz // COLUMNS_PER_S
        self._frame = 2 ** math.ceil(math.log2(self._rate_hz / 10))
        self._window = np.hanning(self._frame).astype(np.float32)
        # A bin covers half a bin to either side of its centre.
        positions = band_edges_hz(self._rate_hz) * self._frame / self._rate_hz + 0.5
        self._bins = np.minimum(positions.astype(np.int64), self._frame // 2)
        self._above = (1 - (positions - self._bins)).astype(np.float32)
        # The window's factor, so that a sine at full scale has the level 0 dB.
        self._factors = (2 / self._window.sum()) ** 2 / np.diff(positions)
        self._max_columns = max(MAX_COLUMNS, past_columns)
        self._next_end = max(0, ring.end - max(self._frame, past_columns * self._hop))

    def read(self) -> Columns | None:
        """Return the new columns, or None if there is not enough new sound for one."""
        if self._ring.sample_rate_hz != self._rate_hz:
            self._begin()
        newest = self._ring.end
        if newest < self._next_end - self._hop:  # the source has started again
            self._next_end = newest
        count = (newest - self._next_end) // self._hop
        if count <= 0:
            return None
        self._next_end += count * self._hop
        count = min(count, self._max_columns)
        first_end = self._next_end - (count - 1) * self._hop
        cut = self._ring.cut(first_end - self._frame, self._next_end)
        samples = np.zeros(self._frame + (count - 1) * self._hop, np.float32)
        if len(cut.samples):
            samples[-len(cut.samples) :] = cut.to_float()
        return Columns(self._transform(samples, count), self._next_end, self._rate_hz)

    def _transform(self, samples: npt.NDArray[np.float32], count: int) -> ByteColumns:
        """Return the columns of consecutive sound, some at a time to bound the memory."""
        views = np.lib.stride_tricks.sliding_window_view(samples, self._frame)[:: self._hop]
        columns = np.empty((count, BANDS), np.uint8)
        for first in range(0, count, PART_COLUMNS):
            spectrum = np.fft.rfft(views[first : first + PART_COLUMNS] * self._window, axis=1)
            power = (
                self._mean_of_bands(np.square(spectrum.real) + np.square(spectrum.imag)) + SILENCE
            )
            scaled = SCALE * np.log10(power) + 255
            np.rint(np.clip(scaled, 0, 255, out=scaled), out=scaled)
            columns[first : first + PART_COLUMNS] = scaled
        return columns

    def _mean_of_bands(self, power: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the mean power of each band, from ``(n, bins)``.

        By differences of a running sum: a matrix product would wake the threads of the linear
        algebra library, which then wait busily for more.
        """
        total = np.cumsum(power, axis=1, dtype=np.float64)
        # Up to an edge: all bins up to the one that contains it, less the part above the edge.
        integral = total[:, self._bins] - self._above * power[:, self._bins]
        mean: npt.NDArray[np.float64] = np.diff(integral, axis=1) * self._factors
        return np.maximum(mean, 0, out=mean)


def band_edges_hz(sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """Return the 65 edges of the bands, on a logarithmic axis as in the pictures of events."""
    return np.geomspace(MIN_FREQUENCY_HZ, sample_rate_hz / 2, BANDS + 1)


Rings = Mapping[str, SoundRing]
"""The newest sound of each machine whose sound is kept in memory."""
