"""The highest of several sample rates at which a machine's sound differs from the noise floor."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asd_monitor.records import FloatArray

FRAME_S = 0.064
BANDS_PER_OCTAVE = 6
LOWEST_HZ = 1000.0
TOP_FRACTION = 0.45
"""Bands end at this fraction of the sample rate: above it, converters attenuate."""
EDGE_FRACTION = 0.53
"""Sound above this fraction of a lower rate is missing at that rate: from 8.5 kHz for 16 kHz. Just
above half of the rate a converter leaves a rest."""
MIN_EXCESS_DB = 6.0
QUANTISATION_DBFS = -98.0
"""Power of the rounding to 16 bits; the floor is at least this, spread over all frequencies."""
FLOOR_QUANTILE = 0.1
BURST_QUANTILE = 0.99

FloatsDb = npt.NDArray[np.float64]


def choose_rate_hz(
    recordings: Sequence[FloatArray], rate_hz: int, lower_rates_hz: Sequence[int]
) -> int:
    """Return the lowest rate that contains all sound above the noise floor.

    A rate is too low if a sixth-octave band above half of it exceeds the noise floor by
    ``MIN_EXCESS_DB`` on average, for moments (in 1 % of the frames), or in a narrow line. The noise
    floor is the level of the quietest tenth of the bands from 1 kHz on, at least that of 16-bit
    rounding. The noise of a microphone and its amplifier has the same density at all frequencies,
    so what differs from it by frequency or time is sound. Even hiss at all frequencies cannot be
    distinguished from it.

    Parameters
    ----------
    recordings
        Normal sound, ``(n,)`` float32 each.
    rate_hz
        Its sample rate.
    lower_rates_hz
        The rates to choose from, besides ``rate_hz``.
    """
    excess_db, edges_hz = _excess_db(recordings, rate_hz)
    for lower_hz in sorted(lower_rates_hz):
        above = edges_hz[:-1] >= EDGE_FRACTION * lower_hz
        if lower_hz < rate_hz and not (excess_db[above] >= MIN_EXCESS_DB).any():
            return lower_hz
    return rate_hz


def _excess_db(recordings: Sequence[FloatArray], rate_hz: int) -> tuple[FloatsDb, FloatsDb]:
    """Return by how much each band exceeds the noise floor, and the edges of the bands in Hz."""
    edges_hz = _band_edges_hz(rate_hz)
    power = np.concatenate([_power(samples, rate_hz) for samples in recordings])
    frequency_hz = np.linspace(0.0, rate_hz / 2, power.shape[1])
    first_bins = np.searchsorted(frequency_hz, edges_hz)
    last = first_bins[-1]
    widths = np.diff(first_bins)
    bands = np.add.reduceat(power[:, :last], first_bins[:-1], axis=1) / widths
    mean_db = _db(bands.mean(axis=0))
    rounding_db = QUANTISATION_DBFS - _db(np.float64(power.shape[1]))
    floor_db = max(float(np.quantile(mean_db, FLOOR_QUANTILE)), float(rounding_db))
    bursts_db = _db(np.quantile(bands, BURST_QUANTILE, axis=0))
    lines_db = _db(np.maximum.reduceat(power.mean(axis=0)[:last], first_bins[:-1]))
    excess_db = mean_db - floor_db
    for peak_db, usual_db in ((bursts_db, _db(np.median(bands, axis=0))), (lines_db, mean_db)):
        excess_db = np.maximum(excess_db, peak_db - np.maximum(usual_db, floor_db))
    return excess_db, edges_hz


def _band_edges_hz(rate_hz: int) -> FloatsDb:
    count = int(BANDS_PER_OCTAVE * np.log2(TOP_FRACTION * rate_hz / LOWEST_HZ))
    return np.asarray(
        TOP_FRACTION * rate_hz * 2.0 ** (-np.arange(count, -1, -1) / BANDS_PER_OCTAVE)
    )


def _power(samples: FloatArray, rate_hz: int) -> FloatsDb:
    """Return the power of the bins in each frame; that of white noise adds up to its power."""
    length = round(FRAME_S * rate_hz)
    count = len(samples) // length
    frames = np.asarray(samples[: count * length], np.float64).reshape(count, length)
    window = np.hanning(length)
    spectrum = np.fft.rfft(frames * window, axis=1)
    return np.asarray(2.0 * np.abs(spectrum) ** 2 / (length * np.square(window).sum()))


def _db(power: FloatsDb | np.float64) -> FloatsDb:
    return np.asarray(10.0 * np.log10(power + 1e-20))
