"""One run of a simulated machine, and the signals that machine models are built from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.synthesis.signals import DoubleArray, shaped_noise


@dataclass(frozen=True, slots=True)
class MachineRun:
    """Duration and operating conditions of a machine during one clip.

    Two random generators separate the machine from the clip: ``unit`` has the same seed in
    every clip of one machine, so its tolerances are the same each time; ``clip`` differs from
    clip to clip.
    """

    n_samples: int
    sample_rate_hz: int
    speed: float
    """Speed relative to the machine's rated speed."""
    load: float
    """Load relative to the rated load."""
    variant: int
    """Index of the motion pattern, for machines that have several."""
    unit: np.random.Generator
    clip: np.random.Generator

    @property
    def duration_s(self) -> float:
        """Length of the clip."""
        return self.n_samples / self.sample_rate_hz

    def noise(self, spectrum: dict[float, float]) -> DoubleArray:
        """Return stationary noise of RMS 1; ``spectrum`` as in :func:`shaped_noise`."""
        return shaped_noise(self.clip, self.n_samples, self.sample_rate_hz, spectrum)

    def fluctuation(self, depth: float, period_s: float) -> DoubleArray:
        """Return ``(n_samples,)`` slow random values around 1 with the given depth."""
        knots = int(self.duration_s / period_s) + 3
        values = np.clip(self.clip.standard_normal(knots), -2.0, 2.0)
        position = np.arange(self.n_samples) / self.sample_rate_hz / period_s
        position += self.clip.uniform()
        return np.asarray(1.0 + depth * np.interp(position, np.arange(knots), values))

    def revolutions(self, rate_hz: float | DoubleArray, depth: float = 0.003) -> DoubleArray:
        """Return ``(n_samples,)`` accumulated revolutions of a part that rotates at ``rate_hz``."""
        speed_hz = rate_hz * self.fluctuation(depth, 0.7) * self.fluctuation(depth, 3.0)
        return np.cumsum(speed_hz) / self.sample_rate_hz + self.clip.uniform()


@dataclass(frozen=True, slots=True)
class MachineSound:
    """A machine's sound at close range, and its rotation rate."""

    sound: DoubleArray
    """``(n_samples,)``, at an arbitrary level."""
    shaft_hz: float
    """Revolutions, or strokes, per second."""


def harmonics(
    revolutions: DoubleArray, levels: Sequence[float] | DoubleArray, rng: np.random.Generator
) -> DoubleArray:
    """Return the sum of ``levels[k]`` times the harmonic ``k + 1``, each at a random phase.

    Parameters
    ----------
    revolutions
        ``(n,)`` phase of the fundamental, in revolutions.
    """
    phase = (2 * np.pi * (revolutions % 1.0)).astype(np.float32)
    carrier = np.cos(phase) + 1j * np.sin(phase)
    phases = np.exp(2j * np.pi * rng.uniform(size=len(levels)))
    weights = (np.asarray(levels) * phases).astype(np.complex64)
    total = np.full(carrier.size, weights[-1])
    for weight in weights[-2::-1]:
        total *= carrier
        total += weight
    return np.asarray((total * carrier).real, dtype=np.float64)


def harmonic_levels(count: int, power: float, unit: np.random.Generator) -> DoubleArray:
    """Return levels of ``count`` harmonics that decay with their order, with random deviations."""
    order = np.arange(1, count + 1)
    return np.asarray(order**-power * 10.0 ** (unit.normal(0.0, 3.0, count) / 20.0))


def regular_events(
    run: MachineRun, rate_hz: float, jitter: float
) -> tuple[npt.NDArray[np.int64], DoubleArray]:
    """Return starts and strengths (around 1) of events at a nearly constant rate."""
    count = int(run.duration_s * rate_hz * 1.3) + 3
    gaps_s = np.maximum(run.clip.normal(1.0, jitter, count), 0.1) / rate_hz
    times_s = np.cumsum(gaps_s) - gaps_s[0] * (1.0 + run.clip.uniform())
    strength = np.maximum(run.clip.normal(1.0, 0.15, count), 0.2)
    return (times_s * run.sample_rate_hz).astype(np.int64), strength
