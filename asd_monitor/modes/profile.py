"""The profile of a sound: its levels in octaves, by which modes of operation differ.

A machine that changes from idle to load changes its level or its broad spectrum. A fault changes a
few bands, or adds sound in short bursts. The profile of ten seconds is the median over its windows,
so that a bout of a passing sound does not change it.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

FRAME_S = 0.128
TOP_FRACTION = 0.45
"""Highest frequency, as a fraction of the sample rate: above, resampling filters differ."""
LOWEST_HZ = 44.2
"""Lower edge of the first octave, 63 Hz."""
MIN_TOP_OCTAVE = 0.25
"""A narrower rest below the highest frequency is part of the octave below it."""
FLOOR_POWER = 1e-12

Profile = npt.NDArray[np.float64]


@cache
def octave_edges_hz(sample_rate_hz: int) -> tuple[float, ...]:
    """Return the edges of the octaves, ascending, up to 0.45 times the sample rate."""
    top_hz = TOP_FRACTION * sample_rate_hz
    count = max(1, int(np.floor(np.log2(top_hz / LOWEST_HZ) + 1 - MIN_TOP_OCTAVE)))
    return (*(LOWEST_HZ * 2.0**octave for octave in range(count)), top_hz)


def window_profile(samples: npt.NDArray[np.float32], sample_rate_hz: int) -> Profile:
    """Return the levels ``(octaves,)`` of a window in dB; a full-scale sine has 0 dB.

    Parameters
    ----------
    samples
        ``(n,)``; shorter than a frame of 128 ms: padded with zeros.
    sample_rate_hz
        Sample rate.
    """
    size = 2 * round(FRAME_S * sample_rate_hz / 2)
    if len(samples) < size:
        samples = np.pad(samples, (0, size - len(samples)))
    taper, first_bins = _prepare(sample_rate_hz, size)
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    spectrum = np.fft.rfft(frames * taper)
    power = (spectrum.real**2 + spectrum.imag**2).mean(0)
    octaves = np.add.reduceat(power[: first_bins[-1]], first_bins[:-1])
    return np.asarray(10 * np.log10(np.maximum(octaves, FLOOR_POWER)), np.float64)


@cache
def _prepare(
    sample_rate_hz: int, size: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the taper of a frame and the first bin of each octave, with the end of the last."""
    taper = np.hanning(size + 1)[:-1]
    taper *= 2 / taper.sum() / np.sqrt(1.5)  # 1.5 bins: the noise bandwidth of the taper
    bins = np.ceil(np.array(octave_edges_hz(sample_rate_hz)) * size / sample_rate_hz)
    return taper.astype(np.float32), bins.astype(np.int64)
