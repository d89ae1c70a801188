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
SILENCE = 10 ** (-RANGE_DB / 10)
"""Power that the value 0 stands for."""
PART_COLUMNS = 20
"""Columns computed at once."""
MAX_COLUMNS = 50
"""Columns that are computed of new sound; older sound is left out."""

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

    It runs every two seconds while a page shows the machine, after other work has replaced its code
    and data in the caches of the processor. Then each call of a numpy function costs more than its
    arithmetic, so there are few, on arrays that are kept.

    Parameters
    ----------
    ring
        The machine's newest sound.
    past_columns
        Begin this many columns before the newest sound.
    end
        Index after the last sample of those columns, instead of the newest one.
    """

    def __init__(self, ring: SoundRing, past_columns: int = 0, end: int | None = None) -> None:
        self._ring = ring
        self._past_columns = past_columns
        self._until = end
        self._begin(ring.end if end is None else end)

    @property
    def position(self) -> int:
        """Index after the last sample that columns have been computed of."""
        return self._next_end

    def _begin(self, end: int) -> None:
        self._rate_hz = self._ring.sample_rate_hz
        self._hop = self._rate_hz // COLUMNS_PER_S
        self._frame = 2 ** math.ceil(math.log2(self._rate_hz / 10))
        window = np.hanning(self._frame)
        self._window = (window / FULL_SCALE).astype(np.float32)
        edges = np.rint(band_edges_hz(self._rate_hz) * self._frame / self._rate_hz).astype(np.int64)
        self._first_bins = edges[:-1]
        # The mean of a band, and the window's factor, so that a sine at full scale has 0 dB.
        factors = (2 / window.sum()) ** 2 / np.maximum(np.diff(edges), 1)
        self._silence = (SILENCE / factors).astype(np.float32)
        self._offsets = (SCALE * np.log10(factors) + 255.5).astype(np.float32)
        self._sound = np.zeros((PART_COLUMNS - 1) * self._hop + self._frame, np.int16)
        self._frames = np.lib.stride_tricks.sliding_window_view(self._sound, self._frame)[
            :: self._hop
        ]
        self._windowed = np.empty((PART_COLUMNS, self._frame), np.float32)
        self._spectrum = np.empty((PART_COLUMNS, self._frame // 2 + 1), np.complex64)
        self._power = np.empty(self._spectrum.shape, np.float32)
        self._levels = np.empty((PART_COLUMNS, BANDS), np.float32)
        self._max_columns = max(MAX_COLUMNS, self._past_columns)
        self._next_end: int = max(0, end - max(self._frame, self._past_columns * self._hop))

    def read(self) -> Columns | None:
        """Return the new columns, or None if there is not enough new sound for one."""
        newest = self._ring.end if self._until is None else min(self._until, self._ring.end)
        if self._ring.sample_rate_hz != self._rate_hz:
            self._begin(newest)
        if newest < self._next_end - self._hop:  # the source has started again
            self._next_end = newest
        count = (newest - self._next_end) // self._hop
        if count <= 0:
            return None
        self._next_end += count * self._hop
        count = min(count, self._max_columns)
        return Columns(self._compute(self._next_end, count), self._next_end, self._rate_hz)

    def _compute(self, end: int, count: int) -> ByteColumns:
        """Return the columns of consecutive sound, some at a time to bound the memory."""
        columns = np.empty((count, BANDS), np.uint8)
        for first in range(0, count, PART_COLUMNS):
            size = min(PART_COLUMNS, count - first)
            self._read_sound(end - (count - first - size) * self._hop, size)
            columns[first : first + size] = self._compute_levels(size)
        return columns

    def _read_sound(self, end: int, columns: int) -> None:
        """Copy the sound of n columns before an index; zero where there is none."""
        length = (columns - 1) * self._hop + self._frame
        samples = self._ring.cut(end - length, end).samples
        missing = length - len(samples)
        self._sound[:missing] = 0
        self._sound[missing:length] = samples

    def _compute_levels(self, columns: int) -> npt.NDArray[np.float32]:
        """Return the values of the first n frames, ``(n, 64)``, to be rounded down.

        A matrix product would be one call, but wakes the threads of the linear algebra library,
        which then wait busily for more.
        """
        windowed, power = self._windowed[:columns], self._power[:columns]
        np.multiply(self._frames[:columns], self._window, out=windowed)
        if CAN_REUSE_SPECTRUM:
            parts = np.fft.rfft(windowed, out=self._spectrum[:columns]).view(np.float32)
        else:
            parts = np.fft.rfft(windowed).astype(np.complex64).view(np.float32)
        np.multiply(parts, parts, out=parts)  # of the real and imaginary parts in turn
        np.add(parts[:, ::2], parts[:, 1::2], out=power)
        levels = np.add.reduceat(power, self._first_bins, axis=1, out=self._levels[:columns])
        levels += self._silence
        np.log10(levels, out=levels)
        levels *= SCALE
        levels += self._offsets
        return np.minimum(levels, 255, out=levels)


def band_edges_hz(sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """Return the 65 edges of the bands, on a logarithmic axis as in the pictures of events."""
    return np.geomspace(MIN_FREQUENCY_HZ, sample_rate_hz / 2, BANDS + 1)


Rings = Mapping[str, SoundRing]
"""The newest sound of each machine whose sound is kept in memory."""
