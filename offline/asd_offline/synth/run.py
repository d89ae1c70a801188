"""One run of one machine: what a picture of a machine is drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.demo.pump_sound import DoubleArray, shaped_noise


@dataclass(frozen=True, slots=True)
class Run:
    """How long and under which conditions a machine runs.

    Two generators keep apart what belongs to the machine and what happens once: ``unit`` is
    seeded alike for every clip of one machine, so that its tolerances are drawn again and
    again the same; ``clip`` differs from clip to clip.
    """

    n_samples: int
    sample_rate_hz: int
    speed: float
    """Factor on the machine's rated speed."""
    load: float
    """1 = rated load."""
    variant: int
    """Which of several patterns of motion."""
    unit: np.random.Generator
    clip: np.random.Generator

    @property
    def duration_s(self) -> float:
        """Length of the clip."""
        return self.n_samples / self.sample_rate_hz

    def noise(self, spectrum: dict[float, float]) -> DoubleArray:
        """Stationary noise of RMS 1; ``spectrum`` as in :func:`shaped_noise`."""
        return shaped_noise(self.clip, self.n_samples, self.sample_rate_hz, spectrum)

    def wander(self, depth: float, period_s: float) -> DoubleArray:
        """Return ``(n_samples,)`` around 1: a slow random fluctuation of the given depth."""
        knots = int(self.duration_s / period_s) + 3
        values = np.clip(self.clip.standard_normal(knots), -2.0, 2.0)
        at = np.arange(self.n_samples) / self.sample_rate_hz / period_s + self.clip.uniform()
        return np.asarray(1.0 + depth * np.interp(at, np.arange(knots), values))

    def turns(self, rate_hz: float | DoubleArray, wander: float = 0.003) -> DoubleArray:
        """Return ``(n_samples,)`` turns made so far by something that turns at ``rate_hz``."""
        speed_hz = rate_hz * self.wander(wander, 0.7) * self.wander(wander, 3.0)
        return np.cumsum(speed_hz) / self.sample_rate_hz + self.clip.uniform()


@dataclass(frozen=True, slots=True)
class Running:
    """What a machine sounds like close by, and how fast it turns."""

    sound: DoubleArray
    """``(n_samples,)``, of any level."""
    shaft_hz: float
    """Turns, or strokes, per second."""


def harmonics(
    turns: DoubleArray, levels: Sequence[float] | DoubleArray, rng: np.random.Generator
) -> DoubleArray:
    """Sum of ``levels[k]`` times the harmonic ``k + 1``, each at a random phase.

    Parameters
    ----------
    turns
        ``(n,)`` phase of the fundamental, in turns.
    """
    phase = (2 * np.pi * (turns % 1.0)).astype(np.float32)
    carrier = np.cos(phase) + 1j * np.sin(phase)
    phases = np.exp(2j * np.pi * rng.uniform(size=len(levels)))
    weights = (np.asarray(levels) * phases).astype(np.complex64)
    total = np.full(carrier.size, weights[-1])
    for weight in weights[-2::-1]:
        total *= carrier
        total += weight
    return np.asarray((total * carrier).real, dtype=np.float64)


def rolled_off(count: int, power: float, unit: np.random.Generator) -> DoubleArray:
    """Levels of ``count`` harmonics that fall with their order, each a little off."""
    order = np.arange(1, count + 1)
    return np.asarray(order**-power * 10.0 ** (unit.normal(0.0, 3.0, count) / 20.0))


def strikes(
    n_samples: int,
    at: npt.NDArray[np.int64],
    gains: DoubleArray,
    sound: DoubleArray,
) -> DoubleArray:
    """Return ``(n_samples,)`` with ``sound`` added at each of the sample indices ``at``."""
    out = np.zeros(n_samples + sound.size)
    for start, gain in zip(at, gains, strict=True):
        if 0 <= start < n_samples:
            out[start : start + sound.size] += gain * sound
    return out[:n_samples]


def regular(run: Run, rate_hz: float, jitter: float) -> tuple[npt.NDArray[np.int64], DoubleArray]:
    """Sample indices of events at a nearly constant rate, and a strength around 1 for each."""
    count = int(run.duration_s * rate_hz * 1.3) + 3
    gaps_s = np.maximum(run.clip.normal(1.0, jitter, count), 0.1) / rate_hz
    times_s = np.cumsum(gaps_s) - gaps_s[0] * (1.0 + run.clip.uniform())
    strength = np.maximum(run.clip.normal(1.0, 0.15, count), 0.2)
    return (times_s * run.sample_rate_hz).astype(np.int64), strength
