"""Choice of a window length that covers the machine's cycle."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.audio.lazy_clips import LazyClip
from asd_monitor.quickstart.training_windows import Recording
from asd_monitor.records import FloatArray

MIN_WINDOW_S, MAX_WINDOW_S = 2.0, 10.0
STATIONARY_WINDOW_S = 2.0
"""Window length for sound without a cycle."""
MIN_WINDOWS = 8
"""Minimum number of windows of normal sound for which a threshold is meaningful."""
ENVELOPE_RATE_HZ = 50
MAX_ENVELOPE_S = 60
MIN_CYCLE_S = 0.3
MIN_CORRELATION = 0.3
"""Minimum autocorrelation of the envelope at the period of a cycle."""


@dataclass(frozen=True)
class WindowChoice:
    """A window length and its reason."""

    window_s: float
    reason: str
    cycle_s: float | None = None


def choose_window(recordings: Sequence[Recording], sample_rate_hz: int) -> WindowChoice:
    """Choose a window that holds at least two of the machine's cycles, if it has one.

    Parameters
    ----------
    recordings
        Normal sound, at least one recording, none shorter than 2 s, 20 s in all.
    sample_rate_hz
        Sample rate.
    """
    cycle_s = find_cycle_s(recordings, sample_rate_hz)
    if cycle_s is None:
        preferred_s, reason = STATIONARY_WINDOW_S, "no cycle was found in the sound"
    else:
        # Two cycles, rounded up to half seconds.
        preferred_s = min(max(math.ceil(4 * cycle_s) / 2, MIN_WINDOW_S), MAX_WINDOW_S)
        reason = f"the sound repeats every {cycle_s:.2f} s"
        if 2 * cycle_s > MAX_WINDOW_S:
            reason += ", too slow for two cycles in a window"
    window_s = preferred_s
    lengths_s = np.array([len(recording.samples) / sample_rate_hz for recording in recordings])
    while window_s > MIN_WINDOW_S and not _has_enough_windows(lengths_s, window_s):
        window_s -= 0.5
    if window_s < preferred_s:
        reason += f"; {preferred_s:g} s would be better, but the recordings are too few or short"
    return WindowChoice(window_s, f"Windows of {window_s:g} s: {reason}.", cycle_s)


def _has_enough_windows(lengths_s: npt.NDArray[np.float64], window_s: float) -> bool:
    shortest_fits = bool(lengths_s.min() >= window_s)
    return shortest_fits and int((lengths_s // window_s).sum()) >= MIN_WINDOWS


def find_cycle_s(recordings: Sequence[Recording], sample_rate_hz: int) -> float | None:
    """Return the period at which the sound's envelope repeats, in seconds; None if it does not.

    This is the first high peak of the envelope's autocorrelation, averaged over recordings. Peaks
    at multiples of the period are about as high, so the first one within 80 % of the highest is
    taken.
    """
    shortest = min(len(recording.samples) for recording in recordings)
    block = sample_rate_hz // ENVELOPE_RATE_HZ
    frames = min(shortest // block, MAX_ENVELOPE_S * ENVELOPE_RATE_HZ)
    lags = min(frames // 2, round(MAX_WINDOW_S * ENVELOPE_RATE_HZ))
    first_lag = round(MIN_CYCLE_S * ENVELOPE_RATE_HZ)
    if lags <= first_lag + 2:
        return None
    correlation = np.zeros(lags + 1)
    for recording in recordings:
        correlation += _autocorrelation(_envelope_db(recording.samples, block, frames), lags)
    if correlation[0] <= 0.0:
        return None
    correlation /= correlation[0]
    inner = correlation[1:-1]
    is_peak = (inner >= correlation[:-2]) & (inner >= correlation[2:])
    is_peak[: first_lag - 1] = False
    highest = float(inner[is_peak].max(initial=0.0))
    if highest < MIN_CORRELATION:
        return None
    high_peaks = np.flatnonzero(is_peak & (inner >= 0.8 * highest))
    return float(high_peaks[0] + 1) / ENVELOPE_RATE_HZ


def _envelope_db(
    samples: FloatArray | LazyClip, block: int, frames: int
) -> npt.NDArray[np.float64]:
    """Return the level of each block ``(frames,)`` without its linear trend."""
    grid = np.asarray(samples[: frames * block], dtype=np.float64).reshape(frames, block)
    envelope = 10.0 * np.log10(np.var(grid, axis=1) + 1e-10)
    time = np.arange(frames) - (frames - 1) / 2
    envelope -= envelope.mean()
    return np.asarray(envelope - time * (envelope @ time) / (time @ time))


def _autocorrelation(series: npt.NDArray[np.float64], lags: int) -> npt.NDArray[np.float64]:
    """Return the unbiased autocorrelation at lags 0 to ``lags``."""
    size = 2 ** math.ceil(math.log2(2 * len(series)))
    spectrum = np.abs(np.fft.rfft(series, size)) ** 2
    full = np.fft.irfft(spectrum, size)[: lags + 1]
    return np.asarray(full / (len(series) - np.arange(lags + 1)))
