"""Levels of sound in sixth-octave bands over time."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

FRAME_S = 0.128
"""Length of a frame: the distance of bins is 7.8 Hz. Frames overlap by half."""
SHORT_FRAME_S = 0.016
"""Length of the frames in which knocks are prominent: the distance of bins is 62.5 Hz."""
PEAK_QUANTILE = 0.99
"""The peak level of a sound is that of the loudest hundredth of its short frames."""
MIN_FREQUENCY_HZ = 30.0
BANDS_PER_OCTAVE = 6
MIN_BAND_BINS = 2
BLOCK_SAMPLES = 2**17
FLOOR_POWER = 1e-12
"""-120 dB: below the noise of 16 bits, so that digital silence has a finite level."""

DoubleArray = npt.NDArray[np.float64]


@cache
def band_edges_hz(sample_rate_hz: int, frame_s: float = FRAME_S) -> tuple[float, ...]:
    """Return the edges of the bands, ascending, from 30 Hz to half the sample rate.

    Bands are a sixth of an octave wide, and at least two bins at low frequencies.
    """
    bin_hz = sample_rate_hz / _frame_samples(sample_rate_hz, frame_s)
    top_hz = sample_rate_hz / 2
    edges = [MIN_FREQUENCY_HZ]
    while True:
        narrow = edges[-1] + MIN_BAND_BINS * bin_hz
        next_hz = max(edges[-1] * 2 ** (1 / BANDS_PER_OCTAVE), narrow)
        if next_hz > top_hz:
            break
        edges.append(next_hz)
    # What is left at the top is too narrow for a band of its own.
    return (*edges[:-1], top_hz)


@dataclass(frozen=True)
class BandFrames:
    """Power of a sound in bands, frame by frame.

    A full-scale sine has power 1.
    """

    power: npt.NDArray[np.float32]
    """``(frames, bands)``."""
    spectrum: npt.NDArray[np.float32]
    """``(frames, bins)``: the power spectrum that the bands were summed from."""
    short_power: npt.NDArray[np.float32]
    """``(short frames, bands of short frames)``."""
    sample_rate_hz: int

    @classmethod
    def of(cls, samples: npt.NDArray[np.float32], sample_rate_hz: int) -> "BandFrames":
        """Compute the frames of ``(n,)`` samples; a sound below 128 ms is padded with zeros."""
        size = _frame_samples(sample_rate_hz, FRAME_S)
        if len(samples) < size:
            samples = np.pad(samples, (0, size - len(samples)))
        spectrum = np.concatenate([*_transform(samples, sample_rate_hz, FRAME_S)])
        short_power = [
            _band_power(block, sample_rate_hz, SHORT_FRAME_S)
            for block in _transform(samples, sample_rate_hz, SHORT_FRAME_S)
        ]
        power = _band_power(spectrum, sample_rate_hz, FRAME_S)
        return cls(power, spectrum, np.concatenate(short_power), sample_rate_hz)

    @property
    def edges_hz(self) -> DoubleArray:
        """Edges of the bands, ``(bands + 1,)``."""
        return np.array(band_edges_hz(self.sample_rate_hz))

    @property
    def short_edges_hz(self) -> DoubleArray:
        """Edges of the bands of short frames."""
        return np.array(band_edges_hz(self.sample_rate_hz, SHORT_FRAME_S))

    @property
    def hop_s(self) -> float:
        """Distance between the starts of frames."""
        return _frame_samples(self.sample_rate_hz, FRAME_S) / 2 / self.sample_rate_hz

    @property
    def short_hop_s(self) -> float:
        """Distance between the starts of short frames."""
        return _frame_samples(self.sample_rate_hz, SHORT_FRAME_S) / 2 / self.sample_rate_hz

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.power)

    def part(self, from_s: float, to_s: float) -> "BandFrames":
        """Return the frames that begin in a part of the sound, at least one."""
        return BandFrames(
            _rows(self.power, from_s, to_s, self.hop_s),
            _rows(self.spectrum, from_s, to_s, self.hop_s),
            _rows(self.short_power, from_s, to_s, self.short_hop_s),
            self.sample_rate_hz,
        )

    def mean_db(self) -> DoubleArray:
        """Return the level of the mean power in each band, ``(bands,)``."""
        return to_db(self.power.mean(0, dtype=np.float64))

    def peak_db(self) -> DoubleArray:
        """Return the level of the loudest hundredth of the short frames, by their bands.

        Knocks and pulses raise it far more than the mean.
        """
        return to_db(np.quantile(self.short_power, PEAK_QUANTILE, axis=0))


def to_db(power: DoubleArray) -> DoubleArray:
    """Return power as level in dB, at least -120."""
    return np.asarray(10 * np.log10(np.maximum(power, FLOOR_POWER)))


def _rows(
    values: npt.NDArray[np.float32], from_s: float, to_s: float, hop_s: float
) -> npt.NDArray[np.float32]:
    first = min(max(0, round(from_s / hop_s)), len(values) - 1)
    return values[first : max(first + 1, min(round(to_s / hop_s), len(values)))]


def rounding_noise_db(sample_rate_hz: int, frame_s: float = FRAME_S) -> DoubleArray:
    """Return the level of the rounding noise of 16-bit samples in each band, ``(bands,)``."""
    step = 2.0**-15
    power = step**2 / 12 / 0.5  # relative to a full-scale sine
    return to_db(power * np.diff(band_edges_hz(sample_rate_hz, frame_s)) / (sample_rate_hz / 2))


def _frame_samples(sample_rate_hz: int, frame_s: float) -> int:
    return 2 * round(frame_s * sample_rate_hz / 2)


def _transform(
    samples: npt.NDArray[np.float32], sample_rate_hz: int, frame_s: float
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the power spectra of blocks of frames, ``(frames, bins)``; blocks bound the memory."""
    size = _frame_samples(sample_rate_hz, frame_s)
    taper = np.hanning(size + 1)[:-1]
    scale = 2 / taper.sum() / np.sqrt(1.5)  # 1.5 bins: the noise bandwidth of the taper
    taper = (taper * scale).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]
    block = max(1, BLOCK_SAMPLES // size)
    for first in range(0, len(frames), block):
        part = frames[first : first + block]
        part = (part - part.mean(1, keepdims=True)) * taper
        yield (np.abs(np.fft.rfft(part)) ** 2).astype(np.float32)


def _band_power(
    spectrum: npt.NDArray[np.float32], sample_rate_hz: int, frame_s: float
) -> npt.NDArray[np.float32]:
    """Sum the bins of each band, ``(frames, bands)``."""
    bin_hz = sample_rate_hz / 2 / (spectrum.shape[1] - 1)
    edges_hz = np.array(band_edges_hz(sample_rate_hz, frame_s))
    first_bins = np.ceil(edges_hz / bin_hz).astype(np.int64)[:-1]
    return np.add.reduceat(spectrum, first_bins, axis=1)
