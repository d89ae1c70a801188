"""Bladed rotors in turbulence: a fan, a vacuum cleaner, a drone with four of them."""

import numpy as np

from asd_monitor.demo.pump_sound import DoubleArray
from asd_offline.synth.run import Run, Running, harmonics, rolled_off


def _blades(run: Run, turns: DoubleArray, count: int, roughness: float) -> DoubleArray:
    """Blade-passing tones, and turbulence that swells as each blade passes."""
    passing = turns * count
    tones = harmonics(passing, rolled_off(7, 1.1, run.unit), run.clip)
    flow = run.noise(
        {60.0: -4.0, 250.0: 0.0, 900.0: -3.0, 2500.0: -9.0, 5000.0: -17.0, 8000.0: -25.0}
    )
    swell = 1.0 + 0.3 * np.cos(2 * np.pi * passing)
    return tones * 0.35 + flow * swell * roughness


def fan(run: Run) -> Running:
    """Five to nine blades at 20 to 34 turns a second, driven by a mains motor."""
    shaft_hz = run.unit.uniform(20.0, 34.0) * run.speed
    blades = int(run.unit.integers(5, 10))
    turns = run.turns(shaft_hz)
    sound = _blades(run, turns, blades, 0.9) * run.wander(0.1, 1.5) * run.load
    sound += 0.15 * harmonics(turns, rolled_off(5, 0.8, run.unit), run.clip)
    sound += 0.25 * harmonics(run.turns(100.0, 0.0), rolled_off(4, 1.2, run.unit), run.clip)
    return Running(sound, shaft_hz)


def vacuum(run: Run) -> Running:
    """A fast impeller: a high whistle over strong flow that follows the load."""
    shaft_hz = run.unit.uniform(240.0, 330.0) * run.speed
    turns = run.turns(shaft_hz, 0.006)
    rush = run.noise({100.0: -8.0, 500.0: 0.0, 1500.0: -1.0, 4000.0: -8.0, 8000.0: -18.0})
    sound = 0.5 * harmonics(turns, rolled_off(9, 0.8, run.unit), run.clip)
    sound += run.load * rush * run.wander(0.12, 0.8)
    return Running(sound, shaft_hz / 8.0)


def drone(run: Run) -> Running:
    """Four two-bladed rotors of nearly the same speed, so that they beat."""
    shaft_hz = run.unit.uniform(85.0, 115.0) * run.speed
    sound = np.zeros(run.n_samples)
    for _ in range(4):
        turns = run.turns(shaft_hz * run.unit.uniform(0.97, 1.03), 0.012)
        sound += 0.5 * harmonics(turns * 2, rolled_off(8, 0.7, run.unit), run.clip)
    flow = run.noise({100.0: 0.0, 1000.0: -4.0, 3000.0: -8.0, 8000.0: -18.0})
    return Running(sound + 0.8 * run.load * flow * run.wander(0.15, 0.4), shaft_hz / 4.0)
