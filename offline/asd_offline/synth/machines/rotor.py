"""Bladed rotors in turbulent flow: a fan, a vacuum cleaner and a four-rotor drone."""

import numpy as np

from asd_monitor.synthesis.signals import DoubleArray
from asd_offline.synth.machine_run import MachineRun, MachineSound, harmonic_levels, harmonics


def _simulate_blades(
    run: MachineRun, revolutions: DoubleArray, count: int, roughness: float
) -> DoubleArray:
    """Simulate blade-passing tones and turbulence modulated at the blade-passing frequency."""
    passing = revolutions * count
    tones = harmonics(passing, harmonic_levels(7, 1.1, run.unit), run.clip)
    flow = run.noise(
        {60.0: -4.0, 250.0: 0.0, 900.0: -3.0, 2500.0: -9.0, 5000.0: -17.0, 8000.0: -25.0}
    )
    swell = 1.0 + 0.3 * np.cos(2 * np.pi * passing)
    return tones * 0.35 + flow * swell * roughness


def fan(run: MachineRun) -> MachineSound:
    """Simulate a fan of five to nine blades at 20 to 34 Hz, driven by a mains motor."""
    shaft_hz = run.unit.uniform(20.0, 34.0) * run.speed
    blades = int(run.unit.integers(5, 10))
    revolutions = run.revolutions(shaft_hz)
    sound = _simulate_blades(run, revolutions, blades, 0.9) * run.fluctuation(0.1, 1.5) * run.load
    sound += 0.15 * harmonics(revolutions, harmonic_levels(5, 0.8, run.unit), run.clip)
    sound += 0.25 * harmonics(
        run.revolutions(100.0, 0.0), harmonic_levels(4, 1.2, run.unit), run.clip
    )
    return MachineSound(sound, shaft_hz)


def vacuum(run: MachineRun) -> MachineSound:
    """Simulate a fast impeller: a high whistle, and strong flow noise that follows the load."""
    shaft_hz = run.unit.uniform(240.0, 330.0) * run.speed
    revolutions = run.revolutions(shaft_hz, 0.006)
    rush = run.noise({100.0: -8.0, 500.0: 0.0, 1500.0: -1.0, 4000.0: -8.0, 8000.0: -18.0})
    sound = 0.5 * harmonics(revolutions, harmonic_levels(9, 0.8, run.unit), run.clip)
    sound += run.load * rush * run.fluctuation(0.12, 0.8)
    return MachineSound(sound, shaft_hz / 8.0)


def drone(run: MachineRun) -> MachineSound:
    """Simulate four two-bladed rotors at nearly equal speeds, which causes beats."""
    shaft_hz = run.unit.uniform(85.0, 115.0) * run.speed
    sound = np.zeros(run.n_samples)
    for _ in range(4):
        revolutions = run.revolutions(shaft_hz * run.unit.uniform(0.97, 1.03), 0.012)
        sound += 0.5 * harmonics(revolutions * 2, harmonic_levels(8, 0.7, run.unit), run.clip)
    flow = run.noise({100.0: 0.0, 1000.0: -4.0, 3000.0: -8.0, 8000.0: -18.0})
    return MachineSound(sound + 0.8 * run.load * flow * run.fluctuation(0.15, 0.4), shaft_hz / 4.0)
