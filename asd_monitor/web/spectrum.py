"""Columns of the live spectrogram, computed from the newest sound of a machine."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.evidence.ring import FULL_SCALE, SoundRing
from asd_monitor.normal_sound.band_levels import MIN_FREQUENCY_HZ

BANDS = 64
COLUMNS_PER_S = 10
RANGE_DB = 90.0
"""A column's values 0 to 255 stand for this many dB below full scale to full scale."""
SCALE = 255 / RANGE_DB * 10
"""Factor of a column's values to the logarithm of a power."""
SILENCE = 1e-12
PART_COLUMNS = 10
MAX_COLUMNS = 50
"""Columns computed at once; older sound is left out."""

CAN_REUSE_SPECTRUM = int(np.__version__.partition(".")[0]) >= 2
"""Earlier versions of numpy return a new array."""

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
        window = np.hanning(self._frame)
        self._window = (window / FULL_SCALE).astype(np.float32)
        # A bin covers half a bin to either side of its centre.
        positions = band_edges_hz(self._rate_hz) * self._frame / self._rate_hz + 0.5
        self._bins = np.minimum(positions.astype(np.int64), self._frame // 2)
        self._above = (1 - (positions - self._bins)).astype(np.float32)
        # The window's factor, so that a sine at full scale has the level 0 dB.
        self._factors = (2 / window.sum()) ** 2 / np.diff(positions)
        # Kept, because allocating memory for each call costs more than the transform.
        bins = self._frame // 2 + 1
        self._windowed = np.empty((PART_COLUMNS, self._frame), np.float32)
        self._power, self._squares = np.empty((2, PART_COLUMNS, bins), np.float32)
        self._spectrum = np.empty((PART_COLUMNS, bins), np.complex64)
        self._total = np.empty((PART_COLUMNS, bins), np.float64)
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
        return Columns(self._transform(self._next_end, count), self._next_end, self._rate_hz)

    def _transform(self, end: int, count: int) -> ByteColumns:
        """Return the columns of consecutive sound, some at a time to bound the memory."""
        columns = np.empty((count, BANDS), np.uint8)
        for first in range(0, count, PART_COLUMNS):
            size = min(PART_COLUMNS, count - first)
            for row in range(size):
                self._read_frame(self._windowed[row], end - (count - 1 - first - row) * self._hop)
            power = self._mean_of_bands(self._windowed[:size]) + SILENCE
            scaled = SCALE * np.log10(power) + 255
            np.rint(np.clip(scaled, 0, 255, out=scaled), out=scaled)
            columns[first : first + size] = scaled
        return columns

    def _read_frame(self, frame: npt.NDArray[np.float32], end: int) -> None:
        """Write the windowed samples before an index to a frame; zero where there are none."""
        samples = self._ring.cut(end - self._frame, end).samples
        missing = self._frame - len(samples)
        frame[:missing] = 0
        np.multiply(samples, self._window[missing:], out=frame[missing:])

    def _mean_of_bands(self, windowed: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the mean power of each band, from windowed samples ``(n, samples)``.

        By differences of a running sum: a matrix product would wake the threads of the linear
        algebra library, which then wait busily for more.
        """
        count = len(windowed)
        if CAN_REUSE_SPECTRUM:
            spectrum = np.fft.rfft(windowed, axis=1, out=self._spectrum[:count])
        else:
            spectrum = np.fft.rfft(windowed, axis=1)
        power, squares = self._power[:count], self._squares[:count]
        np.square(spectrum.real, out=power)
        power += np.square(spectrum.imag, out=squares)
        total = np.cumsum(power, axis=1, dtype=np.float64, out=self._total[:count])
        # Up to an edge: all bins up to the one that contains it, less the part above the edge.
        integral = total[:, self._bins] - self._above * power[:, self._bins]
        mean: npt.NDArray[np.float64] = np.diff(integral, axis=1) * self._factors
        return np.maximum(mean, 0, out=mean)


def band_edges_hz(sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """Return the 65 edges of the bands, on a logarithmic axis as in the pictures of events."""
    return np.geomspace(MIN_FREQUENCY_HZ, sample_rate_hz / 2, BANDS + 1)


Rings = Mapping[str, SoundRing]
"""The newest sound of each machine whose sound is kept in memory."""
