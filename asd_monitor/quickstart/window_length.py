"""How long a window must be to hold what the machine does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.audio.lazy_clips import LazyClip
from asd_monitor.quickstart.training_windows import Recording
from asd_monitor.records import FloatArray

SHORTEST_S, LONGEST_S = 2.0, 10.0
STEADY_S = 2.0
LEAST_WINDOWS = 8
"""Fewer windows of normal sound than this say nothing about a threshold."""
ENVELOPE_RATE_HZ = 50
SHORTEST_CYCLE_S = 0.3
LEAST_CORRELATION = 0.3


@dataclass(frozen=True)
class WindowChoice:
    """A window length and why."""

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
        Rate of the samples.
    """
    cycle_s = find_cycle_s(recordings, sample_rate_hz)
    if cycle_s is None:
        wanted_s, why = STEADY_S, "no cycle was found in the sound"
    else:
        wanted_s = min(max(math.ceil(4 * cycle_s) / 2, SHORTEST_S), LONGEST_S)
        why = f"the sound repeats every {cycle_s:.2f} s"
        if 2 * cycle_s > LONGEST_S:
            why += ", too slow for two cycles in a window"
    window_s = wanted_s
    lengths_s = np.array([len(each.samples) / sample_rate_hz for each in recordings])
    while window_s > SHORTEST_S and not _enough(lengths_s, window_s):
        window_s -= 0.5
    if window_s < wanted_s:
        why += f"; {wanted_s:g} s would be better, but the recordings are too few or too short"
    return WindowChoice(window_s, f"Windows of {window_s:g} s: {why}.", cycle_s)


def _enough(lengths_s: npt.NDArray[np.float64], window_s: float) -> bool:
    shortest_fits = bool(lengths_s.min() >= window_s)
    return shortest_fits and int((lengths_s // window_s).sum()) >= LEAST_WINDOWS


def find_cycle_s(recordings: Sequence[Recording], sample_rate_hz: int) -> float | None:
    """Return the period at which the sound's envelope repeats, in seconds; None if it does not.

    The first high peak of the envelope's autocorrelation, averaged over recordings.
    """
    shortest = min(len(each.samples) for each in recordings)
    block = sample_rate_hz // ENVELOPE_RATE_HZ
    frames = min(shortest // block, 60 * ENVELOPE_RATE_HZ)
    lags = min(frames // 2, round(LONGEST_S * ENVELOPE_RATE_HZ))
    first = round(SHORTEST_CYCLE_S * ENVELOPE_RATE_HZ)
    if lags <= first + 2:
        return None
    total = np.zeros(lags + 1)
    for recording in recordings:
        total += _autocorrelation(_envelope_db(recording.samples, block, frames), lags)
    if total[0] <= 0.0:
        return None
    total /= total[0]
    inner = total[1:-1]
    is_peak = (inner >= total[:-2]) & (inner >= total[2:])
    is_peak[: first - 1] = False
    best = float(inner[is_peak].max(initial=0.0))
    if best < LEAST_CORRELATION:
        return None
    high = np.flatnonzero(is_peak & (inner >= 0.8 * best))
    return float(high[0] + 1) / ENVELOPE_RATE_HZ


def _envelope_db(
    samples: FloatArray | LazyClip, block: int, frames: int
) -> npt.NDArray[np.float64]:
    grid = np.asarray(samples[: frames * block], dtype=np.float64).reshape(frames, block)
    envelope = 10.0 * np.log10(np.var(grid, axis=1) + 1e-10)
    place = np.arange(frames) - (frames - 1) / 2
    envelope -= envelope.mean()
    return np.asarray(envelope - place * (envelope @ place) / (place @ place))


def _autocorrelation(series: npt.NDArray[np.float64], lags: int) -> npt.NDArray[np.float64]:
    """Return the unbiased autocorrelation at lags 0 to ``lags``."""
    size = 2 ** math.ceil(math.log2(2 * len(series)))
    spectrum = np.abs(np.fft.rfft(series, size)) ** 2
    full = np.fft.irfft(spectrum, size)[: lags + 1]
    return np.asarray(full / (len(series) - np.arange(lags + 1)))
