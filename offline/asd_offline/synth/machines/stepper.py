"""A stepper motor that moves a carriage back and forth: printers, scanners, cameras."""

import numpy as np

from asd_offline.synth.machine_run import MachineRun, MachineSound, harmonic_levels, harmonics


def stepper(run: MachineRun) -> MachineSound:
    """Simulate moves at a few speeds with pauses: tones at the step rate, and sliding noise."""
    time_s = np.arange(run.n_samples) / run.sample_rate_hz
    move_s = run.unit.uniform(0.6, 1.2) / run.speed
    rates_hz = run.unit.uniform(180.0, 520.0, 3 + run.variant % 3) * run.speed
    phase = time_s / move_s + run.clip.uniform()
    move = np.floor(phase).astype(np.int64) % len(rates_hz)
    within = phase % 1.0
    moving = np.clip(np.minimum(within, 0.85 - within) / 0.06, 0.0, 1.0)  # a pause after each move
    revolutions = np.cumsum(rates_hz[move] * (0.3 + 0.7 * moving)) / run.sample_rate_hz
    sound = 0.7 * harmonics(revolutions, harmonic_levels(8, 0.8, run.unit), run.clip)
    slide = run.noise({200.0: -8.0, 900.0: 0.0, 2500.0: -4.0, 6000.0: -12.0, 8000.0: -20.0})
    sound = (sound + 0.5 * run.load * slide) * moving
    fan = run.noise({100.0: 0.0, 800.0: -4.0, 3000.0: -12.0, 8000.0: -24.0})
    return MachineSound(sound + 0.15 * fan, 1.0 / move_s)
