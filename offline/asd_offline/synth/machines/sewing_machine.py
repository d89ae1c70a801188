"""A sewing machine: a motor, and a needle that strikes once per stitch."""

import numpy as np

from asd_monitor.synthesis.signals import ringing, superpose_events
from asd_offline.synth.machine_run import (
    MachineRun,
    MachineSound,
    harmonic_levels,
    harmonics,
    regular_events,
)


def sewing_machine(run: MachineRun) -> MachineSound:
    """Simulate the needle and the feed, each once per stitch, over a motor."""
    stitch_hz = run.unit.uniform(9.0, 14.0) * run.speed
    motor = run.revolutions(stitch_hz * run.unit.uniform(7.0, 9.0) * (1.1 - 0.1 * run.load), 0.006)
    rate_hz = run.sample_rate_hz
    needle = ringing(rate_hz, [(run.unit.uniform(1500.0, 2800.0), 0.006, 1.0)], 0.03)
    feed = ringing(rate_hz, [(run.unit.uniform(300.0, 700.0), 0.015, 1.0)], 0.06)
    starts, strength = regular_events(run, stitch_hz, 0.01)
    sound = 0.4 * harmonics(motor, harmonic_levels(9, 0.7, run.unit), run.clip)
    sound += 0.3 * run.noise({200.0: -6.0, 1200.0: 0.0, 4000.0: -8.0, 8000.0: -16.0})
    sound += superpose_events(run.n_samples, starts, 1.5 * run.load * strength, needle)
    half = int(0.45 / stitch_hz * rate_hz)
    sound += superpose_events(run.n_samples, np.asarray(starts + half), 1.1 * strength, feed)
    return MachineSound(sound, stitch_hz)
