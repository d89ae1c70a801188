"""A rolling bearing on a test stand: the rush of its rolling elements, and the drive."""

import numpy as np

from asd_offline.synth.run import Run, Running, harmonics, rolled_off


def bearing(run: Run) -> Running:
    """Rolling noise that the cage gently modulates; a belt-driven shaft of 8 to 25 Hz."""
    shaft_hz = run.unit.uniform(11.0, 20.0) * run.speed
    turns = run.turns(shaft_hz, 0.004)
    balls = int(run.unit.integers(7, 13))
    rush = run.noise({200.0: -10.0, 900.0: -2.0, 2500.0: 0.0, 5000.0: -4.0, 8000.0: -12.0})
    cage = 1.0 + 0.15 * np.cos(2 * np.pi * turns * 0.4)
    cage += 0.10 * np.cos(2 * np.pi * turns * 0.4 * balls)
    sound = 0.8 * run.load * rush * cage * run.wander(0.1, 0.6)
    sound += 0.5 * harmonics(turns, rolled_off(10, 0.7, run.unit), run.clip)
    sound += 0.3 * harmonics(run.turns(100.0, 0.0), rolled_off(6, 0.9, run.unit), run.clip)
    return Running(sound, shaft_hz)
