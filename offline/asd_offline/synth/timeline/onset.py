"""How a fault begins: its gain over time, from 0 to 1."""

from collections.abc import Callable

import numpy as np

from asd_monitor.synthesis.signals import DoubleArray

EDGE_S = 0.02
GROWTH_DB = 30.0
"""A growing fault starts this far below its level."""
GROWTH_FRACTION = 0.7
"""It reaches its level after this fraction of its duration."""


def sudden(time_s: DoubleArray, duration_s: float, rng: np.random.Generator) -> DoubleArray:
    """Return the gain of a fault that is there from one moment to the next."""
    del rng
    return _box(time_s, 0.0, duration_s)


def growing(time_s: DoubleArray, duration_s: float, rng: np.random.Generator) -> DoubleArray:
    """Return the gain of a fault that grows by 30 dB, linearly in dB, and then remains."""
    del rng
    grown = np.clip(time_s / (GROWTH_FRACTION * duration_s), 0.0, 1.0)
    gain = 10.0 ** (GROWTH_DB * (grown - 1.0) / 20.0)
    return np.asarray(gain * _box(time_s, 0.0, duration_s))


def intermittent(time_s: DoubleArray, duration_s: float, rng: np.random.Generator) -> DoubleArray:
    """Return the gain of a fault that occurs for 0.5 to 2.5 s, every 8 to 25 s."""
    gain = np.zeros(time_s.size)
    start_s = 0.0
    while start_s < duration_s:
        end_s = min(start_s + rng.uniform(0.5, 2.5), duration_s)
        if start_s < time_s[-1] and end_s > time_s[0]:
            gain += _box(time_s, start_s, end_s)
        start_s = end_s + rng.uniform(8.0, 25.0)
    return gain


def _box(time_s: DoubleArray, start_s: float, end_s: float) -> DoubleArray:
    """Return 1 between two times and 0 elsewhere, with smooth edges inside."""
    edge = np.minimum(time_s - start_s, end_s - time_s) / EDGE_S
    return np.asarray(np.sin(0.5 * np.pi * np.clip(edge, 0.0, 1.0)) ** 2)


Onset = Callable[[DoubleArray, float, np.random.Generator], DoubleArray]

ONSETS: dict[str, Onset] = {
    "sudden": sudden,
    "growing": growing,
    "intermittent": intermittent,
}
"""Every kind of onset: from times since the start of the fault in s, ``(n,)``, the fault's
duration in s and a generator that is the same for all parts of a fault, to the gain ``(n,)``."""
