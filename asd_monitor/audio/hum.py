"""Hum of the mains in sound: its frequency, and how far it stands out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.records import FloatArray

MAINS_HZ = (50.0, 60.0)
HUM_SHARE = 0.5
"""Share of the power below 1 kHz at the mains frequency and its first harmonics."""
LOWEST_HZ, HUM_LIMIT_HZ = 20.0, 1000.0
HARMONICS = 6
LINE_WIDTH_HZ = 1.5


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
        if hum > HUM_SHARE * total and power[fundamental].sum() > 0.1 * total:
            rest = max(total - hum, 1e-12 * total)
            return Hum(mains_hz, float(10 * np.log10(hum / rest)))
    return None
