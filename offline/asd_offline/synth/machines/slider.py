"""Linear slide: a carriage driven back and forth that knocks at both ends."""

import numpy as np

from asd_monitor.synthesis.signals import ringing, superpose_events
from asd_offline.synth.machine_run import (
    MachineRun,
    MachineSound,
    harmonic_levels,
    harmonics,
)


def slider(run: MachineRun) -> MachineSound:
    """Simulate strokes of about a second with a drive tone that follows the carriage speed."""
    stroke_hz = run.unit.uniform(0.7, 1.2) * run.speed
    stroke = run.revolutions(stroke_hz, 0.01)
    position = stroke % 0.5 / 0.5
    steepness = 6.0 / max(run.load, 0.3)
    velocity = np.clip(steepness * np.minimum(position, 1.0 - position), 0.0, 1.0)
    drive_hz = run.unit.uniform(180.0, 320.0) * run.speed
    drive = harmonics(
        run.revolutions(drive_hz * velocity, 0.004), harmonic_levels(9, 0.6, run.unit), run.clip
    )
    roll = run.noise({150.0: -8.0, 700.0: -1.0, 1800.0: 0.0, 3500.0: -5.0, 8000.0: -16.0})
    idle = run.noise({60.0: 0.0, 300.0: -12.0, 2000.0: -30.0})
    sound = 0.5 * drive * velocity + velocity**1.5 * roll * run.fluctuation(0.12, 0.3) + 0.1 * idle
    knock = ringing(
        run.sample_rate_hz,
        [
            (run.unit.uniform(300.0, 600.0), 0.02, 1.0),
            (run.unit.uniform(1200.0, 2400.0), 0.006, 0.6),
        ],
        0.12,
    )
    ends = np.flatnonzero(np.diff(np.floor(stroke * 2)))
    strength = np.maximum(run.clip.normal(1.0, 0.2, ends.size), 0.2)
    return MachineSound(
        sound + superpose_events(run.n_samples, ends, 2.0 * strength, knock), 2 * stroke_hz
    )
