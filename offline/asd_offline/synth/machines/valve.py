"""Solenoid valve: clicks on opening and closing in a pattern, and a puff of air."""

import numpy as np

from asd_monitor.synthesis.signals import DoubleArray, ringing, superpose_events
from asd_offline.synth.machine_run import MachineRun, MachineSound


def _pattern(run: MachineRun) -> tuple[DoubleArray, float]:
    """Return the opening times and the open duration, both in s; the variant sets the rhythm."""
    period_s = (0.5 + 0.13 * (run.variant % 7)) / run.speed
    opened = np.arange(0.0, run.duration_s + period_s, period_s)
    if run.variant % 2:
        opened = np.sort(np.concatenate([opened, opened + 0.27 * period_s]))
    opened = opened + run.clip.normal(0.0, 0.008, opened.size) - run.clip.uniform() * period_s
    return opened, 0.11 * period_s + run.unit.uniform(0.02, 0.06)


def valve(run: MachineRun) -> MachineSound:
    """Simulate clicks of an armature against its stops, with near silence in between."""
    opened_s, open_s = _pattern(run)
    rate_hz = run.sample_rate_hz
    click = ringing(
        rate_hz,
        [
            (run.unit.uniform(700.0, 1200.0), 0.007, 0.6),
            (run.unit.uniform(2200.0, 3200.0), 0.004, 1.0),
            (run.unit.uniform(4500.0, 6000.0), 0.002, 0.7),
        ],
        0.05,
    )
    clack = ringing(rate_hz, [(run.unit.uniform(500.0, 900.0), 0.010, 1.0)], 0.06)
    opening = (opened_s * rate_hz).astype(np.int64)
    closing = ((opened_s + open_s) * rate_hz).astype(np.int64)
    strength = np.maximum(run.clip.normal(1.0, 0.15, opening.size), 0.3)
    sound = superpose_events(run.n_samples, opening, strength, click)
    sound += superpose_events(run.n_samples, closing, 0.7 * strength, clack)
    puff = np.exp(-np.arange(int(0.12 * rate_hz)) / (0.03 * rate_hz))
    air = run.noise({500.0: -12.0, 2000.0: 0.0, 5000.0: -2.0, 8000.0: -8.0})
    sound += 0.10 * run.load * air * superpose_events(run.n_samples, opening, strength, puff)
    hum = run.noise({60.0: 0.0, 200.0: -10.0, 1000.0: -30.0})
    return MachineSound(sound + 0.02 * hum, 8.0 * run.speed)
