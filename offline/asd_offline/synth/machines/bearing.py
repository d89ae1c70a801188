"""Rolling bearing on a test stand: noise of its rolling elements, and its drive."""

import numpy as np

from asd_offline.synth.machine_run import MachineRun, MachineSound, harmonic_levels, harmonics


def bearing(run: MachineRun) -> MachineSound:
    """Simulate rolling noise modulated by the cage, on a belt-driven shaft of 11 to 20 Hz."""
    shaft_hz = run.unit.uniform(11.0, 20.0) * run.speed
    revolutions = run.revolutions(shaft_hz, 0.004)
    balls = int(run.unit.integers(7, 13))
    rush = run.noise({200.0: -10.0, 900.0: -2.0, 2500.0: 0.0, 5000.0: -4.0, 8000.0: -12.0})
    cage = 1.0 + 0.15 * np.cos(2 * np.pi * revolutions * 0.4)
    cage += 0.10 * np.cos(2 * np.pi * revolutions * 0.4 * balls)
    sound = 0.8 * run.load * rush * cage * run.fluctuation(0.1, 0.6)
    sound += 0.5 * harmonics(revolutions, harmonic_levels(10, 0.7, run.unit), run.clip)
    sound += 0.3 * harmonics(
        run.revolutions(100.0, 0.0), harmonic_levels(6, 0.9, run.unit), run.clip
    )
    return MachineSound(sound, shaft_hz)
