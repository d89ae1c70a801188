"""Hum of the mains in sound: its frequency and prominence."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from asd_monitor.records import FloatArray

MAINS_HZ = (50.0, 60.0)
HUM_SHARE = 0.5
"""Share of the power below 1 kHz at the mains frequency and its first harmonics."""
LOWEST_HZ, HUM_LIMIT_HZ = 20.0, 1000.0
HARMONICS = 6
LINE_WIDTH_HZ = 1.5
MIN_FUNDAMENTAL = 0.1
"""Share of the power at the mains frequency itself."""
PERIOD_S = 0.1
"""Five periods of 50 Hz, and six of 60 Hz."""
CHECKED_PERIODS = 4
MAX_CHANGE = 0.1
"""Sound of which more changes within that time, as a share of its power, is no hum of the mains."""
WINDOW_BINS = 5
"""Half of the width of a line in a spectrum with a Blackman-Harris window."""
MAINS_TOLERANCE = 0.002
"""The frequency of the mains deviates by less, as a share of it."""


@dataclass(frozen=True, slots=True)
class Hum:
    """Hum that dominates the low frequencies."""

    mains_hz: float
    above_rest_db: float
    """Power of the hum relative to everything else below 1 kHz."""


def find_hum(samples: FloatArray, rate_hz: int) -> Hum | None:
    """Return the hum if the mains frequency and its harmonics dominate the low frequencies.

    Parameters
    ----------
    samples
        ``(n,)``, at least a second.
    rate_hz
        Sample rate.
    """
    if len(samples) < rate_hz:
        return None
    power = np.square(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))))
    return find_hum_in_spectrum(power, rate_hz / len(samples))


def level_without_hum_db(samples: FloatArray, rate_hz: int) -> float | None:
    """Return the power of everything but hum of the mains, relative to all of it, in dB.

    Hum is the mains frequency with all its harmonics, at least a tenth of its power at the mains
    frequency itself: the tone of a motor is at twice that, and a whistle far above it. Sound that
    does not repeat after 0.1 s, such as that of nearly every machine, is recognised from its first
    0.4 s.

    Parameters
    ----------
    samples
        ``(n,)``; a constant offset does not count.
    rate_hz
        Sample rate.

    Returns
    -------
    None if the sound is not mostly hum, or shorter than a second.
    """
    lag = round(PERIOD_S * rate_hz)
    if len(samples) < rate_hz:
        return None
    first = samples[: CHECKED_PERIODS * lag]
    change = first[lag:] - first[:-lag]
    if change @ change > MAX_CHANGE * len(change) * float(np.var(first)):
        return None
    bin_hz = rate_hz / len(samples)
    centred = samples - samples.mean(dtype=np.float64)
    power = np.square(np.abs(np.fft.rfft(centred * _blackman_harris(len(samples)))))
    frequencies = np.arange(len(power)) * bin_hz
    is_sound = frequencies > LOWEST_HZ  # a constant offset leaks into the bins below
    total = float(power[is_sound].sum())
    if total <= 0:
        return None
    rest = total
    for mains_hz in MAINS_HZ:
        fundamental = np.abs(frequencies - mains_hz) <= WINDOW_BINS * bin_hz
        if power[fundamental].sum() <= MIN_FUNDAMENTAL * total:
            continue
        harmonic_hz = mains_hz * np.maximum(np.round(frequencies / mains_hz), 1.0)
        width_hz = WINDOW_BINS * bin_hz + MAINS_TOLERANCE * harmonic_hz
        outside = (np.abs(frequencies - harmonic_hz) > width_hz) & is_sound
        rest = min(rest, float(power[outside].sum()))
    return 10 * math.log10(max(rest, 1e-30 * total) / total)


@lru_cache(maxsize=8)
def _blackman_harris(length: int) -> FloatArray:
    """Return a window whose side lobes are 92 dB below the line."""
    phase = 2 * np.pi * np.arange(length) / length
    terms = (0.35875, -0.48829, 0.14128, -0.01168)
    shape = sum(weight * np.cos(k * phase) for k, weight in enumerate(terms))
    return np.asarray(shape, np.float32)


def find_hum_in_spectrum(power: npt.NDArray[np.float64], bin_hz: float) -> Hum | None:
    """Return the hum in a power spectrum from 0 Hz on, as :func:`find_hum`.

    Parameters
    ----------
    power
        ``(bins,)``, with a Hann window.
    bin_hz
        Distance between bins, at most 1 Hz.
    """
    frequencies = np.arange(len(power)) * bin_hz
    low = (frequencies > LOWEST_HZ) & (frequencies < HUM_LIMIT_HZ)
    total = float(power[low].sum())
    if total <= 0:
        return None
    for mains_hz in MAINS_HZ:
        lines = np.zeros(len(power), bool)
        for harmonic in range(1, HARMONICS + 1):
            lines |= np.abs(frequencies - harmonic * mains_hz) <= LINE_WIDTH_HZ
        fundamental = np.abs(frequencies - mains_hz) <= LINE_WIDTH_HZ
        hum = float(power[lines].sum())
        # A motor hums at twice the mains frequency; a cable mostly at the mains frequency itself.
        if hum > HUM_SHARE * total and power[fundamental].sum() > MIN_FUNDAMENTAL * total:
            rest = max(total - hum, 1e-12 * total)
            return Hum(mains_hz, float(10 * np.log10(hum / rest)))
    return None
