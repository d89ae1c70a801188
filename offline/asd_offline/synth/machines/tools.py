"""Machine tools: a band saw, a grinder, a shaker."""

import numpy as np

from asd_monitor.demo.pump_sound import ringing
from asd_offline.synth.run import Run, Running, harmonics, regular, rolled_off, strikes


def bandsaw(run: Run) -> Running:
    """Teeth through material, and the weld of the blade at every round."""
    wheel_hz = run.unit.uniform(9.0, 13.0) * run.speed
    turns = run.turns(wheel_hz, 0.005)
    teeth = harmonics(turns * run.unit.uniform(55.0, 75.0), rolled_off(5, 0.5, run.unit), run.clip)
    cut = run.noise({200.0: -8.0, 1000.0: 0.0, 3000.0: -2.0, 6000.0: -8.0, 8000.0: -14.0})
    sound = 0.5 * teeth + run.load * cut * run.wander(0.15, 0.3)
    sound += 0.5 * harmonics(turns, rolled_off(9, 0.6, run.unit), run.clip)
    weld = ringing(run.sample_rate_hz, [(run.unit.uniform(1400.0, 2600.0), 0.006, 1.0)], 0.04)
    at, strength = regular(run, wheel_hz / 3.1, 0.005)
    return Running(sound + strikes(run.n_samples, at, 2.0 * strength, weld), wheel_hz)


def grinder(run: Run) -> Running:
    """A stone against a plate: rough noise that its rotation and the hand's pressure swing."""
    shaft_hz = run.unit.uniform(42.0, 52.0) * run.speed
    turns = run.turns(shaft_hz, 0.008)
    grain = run.noise(
        {
            200.0: -14.0,
            1000.0: -4.0,
            run.unit.uniform(2200.0, 3800.0): 0.0,
            6000.0: -5.0,
            8000.0: -10.0,
        }
    )
    pressure = run.load * np.maximum(run.wander(0.35, 0.4), 0.1)
    sound = grain * pressure * (1.0 + 0.35 * np.cos(2 * np.pi * turns))
    return Running(
        sound + 0.6 * harmonics(turns, rolled_off(12, 0.7, run.unit), run.clip), shaft_hz
    )


def shaker(run: Run) -> Running:
    """An eccentric that shakes a sieve: strong low tones and grains that hit the mesh."""
    shaft_hz = run.unit.uniform(16.0, 20.0) * run.speed
    turns = run.turns(shaft_hz, 0.003)
    grains = run.noise({500.0: -12.0, 1500.0: -2.0, 3500.0: 0.0, 8000.0: -6.0})
    bounce = np.maximum(np.cos(2 * np.pi * turns), 0.0) ** 3
    hit = ringing(run.sample_rate_hz, [(run.unit.uniform(500.0, 1100.0), 0.008, 1.0)], 0.04)
    at = np.flatnonzero(np.diff(np.floor(turns)))
    strength = np.maximum(run.clip.normal(1.0, 0.2, at.size), 0.2)
    sound = harmonics(turns, rolled_off(14, 0.5, run.unit), run.clip)
    sound += 1.2 * run.load * grains * bounce * run.wander(0.15, 0.5)
    return Running(sound + strikes(run.n_samples, at, 1.2 * strength, hit), shaft_hz)
