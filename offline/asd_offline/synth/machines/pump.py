"""Pump: an impeller in water, pressure strokes and a check valve."""

import numpy as np

from asd_monitor.synthesis.signals import ringing, superpose_events
from asd_offline.synth.machine_run import (
    MachineRun,
    MachineSound,
    harmonic_levels,
    harmonics,
    regular_events,
)


def pump(run: MachineRun) -> MachineSound:
    """Simulate an impeller at about 24 Hz and a valve that ticks with every pressure stroke."""
    shaft_hz = run.unit.uniform(22.0, 26.0) * run.speed
    revolutions = run.revolutions(shaft_hz)
    vanes = int(run.unit.integers(4, 8))
    stroke_hz = run.unit.uniform(2.0, 4.5) * run.speed
    strokes = 1.0 + 0.35 * np.cos(2 * np.pi * run.revolutions(stroke_hz, 0.01))
    water = run.noise({80.0: 0.0, 400.0: -1.0, 1200.0: -7.0, 3000.0: -15.0, 8000.0: -30.0})
    sound = 0.4 * harmonics(revolutions * vanes, harmonic_levels(8, 0.9, run.unit), run.clip)
    sound += 0.9 * run.load * water * strokes * run.fluctuation(0.1, 1.0)
    sound += 0.3 * harmonics(
        run.revolutions(100.0, 0.0), harmonic_levels(5, 1.0, run.unit), run.clip
    )
    tick = ringing(
        run.sample_rate_hz,
        [
            (run.unit.uniform(900.0, 1600.0), 0.008, 1.0),
            (run.unit.uniform(2000.0, 3500.0), 0.004, 0.7),
        ],
        0.05,
    )
    starts, strength = regular_events(run, stroke_hz, 0.03)
    return MachineSound(
        sound + superpose_events(run.n_samples, starts, 2.2 * strength, tick), shaft_hz
    )
