"""Gear meshing: tones at teeth times turns, with sidebands of both shafts."""

import numpy as np

from asd_offline.synth.run import Run, Running, harmonics, rolled_off


def gearbox(run: Run) -> Running:
    """A pinion on a motor, a wheel behind it, and a second, slower pair."""
    shaft_hz = run.unit.uniform(14.0, 24.0) * run.speed
    teeth, wheel = int(run.unit.integers(17, 29)), int(run.unit.integers(37, 71))
    turns = run.turns(shaft_hz, 0.004)
    slow = turns * teeth / wheel
    eccentric = run.unit.uniform(0.15, 0.35, 2)
    swing = 1.0 + eccentric[0] * np.cos(2 * np.pi * turns)
    swing += eccentric[1] * np.cos(2 * np.pi * slow)
    wobble = 0.02 * np.sin(2 * np.pi * turns + 1.0)
    mesh = harmonics(turns * teeth + wobble, rolled_off(7, 0.7, run.unit), run.clip)
    second = harmonics(
        slow * int(run.unit.integers(13, 24)), rolled_off(6, 0.9, run.unit), run.clip
    )
    rough = run.noise({100.0: -6.0, 500.0: 0.0, 2000.0: -3.0, 4000.0: -10.0, 8000.0: -22.0})
    load = run.load * run.wander(0.12, 0.9)
    sound = 0.6 * load * (mesh + 0.5 * second) * swing + 0.7 * rough * (0.6 + 0.4 * swing) * load
    sound += 0.2 * harmonics(turns, rolled_off(6, 0.8, run.unit), run.clip)
    return Running(sound, shaft_hz)
