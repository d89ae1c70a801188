"""Machine tools: a band saw, a grinder and a shaker."""

import numpy as np

from asd_monitor.synthesis.signals import ringing, superpose_events
from asd_offline.synth.machine_run import (
    MachineRun,
    MachineSound,
    harmonic_levels,
    harmonics,
    regular_events,
)


def bandsaw(run: MachineRun) -> MachineSound:
    """Simulate saw teeth cutting material, and the weld of the blade once per circulation."""
    wheel_hz = run.unit.uniform(9.0, 13.0) * run.speed
    revolutions = run.revolutions(wheel_hz, 0.005)
    teeth = harmonics(
        revolutions * run.unit.uniform(55.0, 75.0), harmonic_levels(5, 0.5, run.unit), run.clip
    )
    cut = run.noise({200.0: -8.0, 1000.0: 0.0, 3000.0: -2.0, 6000.0: -8.0, 8000.0: -14.0})
    sound = 0.5 * teeth + run.load * cut * run.fluctuation(0.15, 0.3)
    sound += 0.5 * harmonics(revolutions, harmonic_levels(9, 0.6, run.unit), run.clip)
    weld = ringing(run.sample_rate_hz, [(run.unit.uniform(1400.0, 2600.0), 0.006, 1.0)], 0.04)
    starts, strength = regular_events(run, wheel_hz / 3.1, 0.005)
    return MachineSound(
        sound + superpose_events(run.n_samples, starts, 2.0 * strength, weld), wheel_hz
    )


def grinder(run: MachineRun) -> MachineSound:
    """Simulate a stone against a plate: rough noise modulated by rotation and by hand pressure."""
    shaft_hz = run.unit.uniform(42.0, 52.0) * run.speed
    revolutions = run.revolutions(shaft_hz, 0.008)
    grain = run.noise(
        {
            200.0: -14.0,
            1000.0: -4.0,
            run.unit.uniform(2200.0, 3800.0): 0.0,
            6000.0: -5.0,
            8000.0: -10.0,
        }
    )
    pressure = run.load * np.maximum(run.fluctuation(0.35, 0.4), 0.1)
    sound = grain * pressure * (1.0 + 0.35 * np.cos(2 * np.pi * revolutions))
    return MachineSound(
        sound + 0.6 * harmonics(revolutions, harmonic_levels(12, 0.7, run.unit), run.clip), shaft_hz
    )


def shaker(run: MachineRun) -> MachineSound:
    """Simulate an eccentric that shakes a sieve: strong low tones, and grains hitting the mesh."""
    shaft_hz = run.unit.uniform(16.0, 20.0) * run.speed
    revolutions = run.revolutions(shaft_hz, 0.003)
    grains = run.noise({500.0: -12.0, 1500.0: -2.0, 3500.0: 0.0, 8000.0: -6.0})
    bounce = np.maximum(np.cos(2 * np.pi * revolutions), 0.0) ** 3
    hit = ringing(run.sample_rate_hz, [(run.unit.uniform(500.0, 1100.0), 0.008, 1.0)], 0.04)
    starts = np.flatnonzero(np.diff(np.floor(revolutions)))
    strength = np.maximum(run.clip.normal(1.0, 0.2, starts.size), 0.2)
    sound = harmonics(revolutions, harmonic_levels(14, 0.5, run.unit), run.clip)
    sound += 1.2 * run.load * grains * bounce * run.fluctuation(0.15, 0.5)
    return MachineSound(
        sound + superpose_events(run.n_samples, starts, 1.2 * strength, hit), shaft_hz
    )
