"""Levels of sound in sixth-octave bands over time."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

FRAME_S = 0.128
"""Length of a spectrum's frame: bins are 7.8 Hz apart. Frames overlap by half."""
MIN_FREQUENCY_HZ = 30.0
BANDS_PER_OCTAVE = 6
MIN_BAND_BINS = 2
BLOCK_FRAMES = 64
FLOOR_POWER = 1e-12
"""-120 dB: below the noise of 16 bits, so that digital silence has a finite level."""

DoubleArray = npt.NDArray[np.float64]


@cache
def band_edges_hz(sample_rate_hz: int) -> tuple[float, ...]:
    """Return the edges of the bands, ascending, from 30 Hz to half the sample rate.

    Bands are a sixth of an octave wide, and at least two bins at low frequencies.
    """
    bin_hz = sample_rate_hz / _frame_samples(sample_rate_hz)
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

    power: DoubleArray
    """``(frames, bands)``."""
    spectrum: npt.NDArray[np.float32]
    """``(frames, bins)``: the power spectrum that the bands were summed from."""
    sample_rate_hz: int
    edges_hz: DoubleArray
    """``(bands + 1,)``."""
    hop_s: float
    """Distance between the starts of frames."""

    @classmethod
    def of(cls, samples: npt.NDArray[np.float32], sample_rate_hz: int) -> "BandFrames":
        """Compute the frames of ``(n,)`` samples; a sound below 128 ms is padded with zeros."""
        size = _frame_samples(sample_rate_hz)
        if len(samples) < size:
            samples = np.pad(samples, (0, size - len(samples)))
        taper = np.hanning(size + 1)[:-1]
        frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]
        scale = 2 / taper.sum() / np.sqrt(1.5)  # 1.5 bins: the noise bandwidth of the taper
        taper = (taper * scale).astype(np.float32)
        edges_hz = np.array(band_edges_hz(sample_rate_hz))
        first_bins = np.ceil(edges_hz / (sample_rate_hz / size)).astype(np.int64)[:-1]
        spectrum = np.empty((len(frames), size // 2 + 1), np.float32)
        power = np.empty((len(frames), len(first_bins)))
        for first in range(0, len(frames), BLOCK_FRAMES):  # bounds the memory of the transform
            rows = slice(first, first + BLOCK_FRAMES)
            block = (frames[rows] - frames[rows].mean(1, keepdims=True)) * taper
            spectrum[rows] = np.abs(np.fft.rfft(block)) ** 2
            power[rows] = np.add.reduceat(spectrum[rows], first_bins, axis=1, dtype=np.float64)
        return cls(power, spectrum, sample_rate_hz, edges_hz, size // 2 / sample_rate_hz)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.power)

    def part(self, from_s: float, to_s: float) -> "BandFrames":
        """Return the frames that begin in a part of the sound, at least one."""
        first = min(max(0, round(from_s / self.hop_s)), len(self) - 1)
        last = max(first + 1, min(round(to_s / self.hop_s), len(self)))
        return BandFrames(
            self.power[first:last],
            self.spectrum[first:last],
            self.sample_rate_hz,
            self.edges_hz,
            self.hop_s,
        )

    def mean_db(self) -> DoubleArray:
        """Return the level of the mean power in each band, ``(bands,)``."""
        return to_db(self.power.mean(0))

    def peak_db(self) -> DoubleArray:
        """Return the level of the loudest tenth of the frames in each band, ``(bands,)``.

        Knocks and pulses raise it far more than the mean.
        """
        return to_db(np.quantile(self.power, 0.9, axis=0))

    def block_db(self, block_s: float) -> DoubleArray:
        """Return the levels of consecutive blocks, ``(blocks, bands)``; at least one block."""
        frames = max(1, round(block_s / self.hop_s))
        blocks = max(1, len(self) // frames)
        parts = np.array_split(self.power[: max(blocks * frames, 1)], blocks)
        return to_db(np.stack([part.mean(0) for part in parts]))


def to_db(power: DoubleArray) -> DoubleArray:
    """Return power as level in dB, at least -120."""
    return np.asarray(10 * np.log10(np.maximum(power, FLOOR_POWER)))


def rounding_noise_db(sample_rate_hz: int) -> DoubleArray:
    """Return the level of the rounding noise of 16-bit samples in each band, ``(bands,)``."""
    step = 2.0**-15
    power = step**2 / 12 / 0.5  # relative to a full-scale sine
    return to_db(power * np.diff(band_edges_hz(sample_rate_hz)) / (sample_rate_hz / 2))


def _frame_samples(sample_rate_hz: int) -> int:
    return 2 * round(FRAME_S * sample_rate_hz / 2)
