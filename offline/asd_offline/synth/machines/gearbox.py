"""Gearbox: tones at the meshing frequencies, with sidebands of both shafts."""

import numpy as np

from asd_offline.synth.machine_run import MachineRun, MachineSound, harmonic_levels, harmonics


def gearbox(run: MachineRun) -> MachineSound:
    """Simulate a two-stage gearbox on a motor."""
    shaft_hz = run.unit.uniform(14.0, 24.0) * run.speed
    teeth, wheel = int(run.unit.integers(17, 29)), int(run.unit.integers(37, 71))
    revolutions = run.revolutions(shaft_hz, 0.004)
    slow = revolutions * teeth / wheel
    eccentric = run.unit.uniform(0.15, 0.35, 2)
    swing = 1.0 + eccentric[0] * np.cos(2 * np.pi * revolutions)
    swing += eccentric[1] * np.cos(2 * np.pi * slow)
    wobble = 0.02 * np.sin(2 * np.pi * revolutions + 1.0)
    mesh = harmonics(revolutions * teeth + wobble, harmonic_levels(7, 0.7, run.unit), run.clip)
    second = harmonics(
        slow * int(run.unit.integers(13, 24)), harmonic_levels(6, 0.9, run.unit), run.clip
    )
    rough = run.noise({100.0: -6.0, 500.0: 0.0, 2000.0: -3.0, 4000.0: -10.0, 8000.0: -22.0})
    load = run.load * run.fluctuation(0.12, 0.9)
    sound = 0.6 * load * (mesh + 0.5 * second) * swing + 0.7 * rough * (0.6 + 0.4 * swing) * load
    sound += 0.2 * harmonics(revolutions, harmonic_levels(6, 0.8, run.unit), run.clip)
    return MachineSound(sound, shaft_hz)
