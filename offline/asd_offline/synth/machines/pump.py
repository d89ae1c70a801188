"""A pump: an impeller in water, pressure strokes, and a check valve."""

import numpy as np

from asd_monitor.demo.pump_sound import ringing
from asd_offline.synth.run import Run, Running, harmonics, regular, rolled_off, strikes


def pump(run: Run) -> Running:
    """Impeller at about 24 turns a second; a valve ticks with every pressure stroke."""
    shaft_hz = run.unit.uniform(22.0, 26.0) * run.speed
    turns = run.turns(shaft_hz)
    vanes = int(run.unit.integers(4, 8))
    stroke_hz = run.unit.uniform(2.0, 4.5) * run.speed
    strokes = 1.0 + 0.35 * np.cos(2 * np.pi * run.turns(stroke_hz, 0.01))
    water = run.noise({80.0: 0.0, 400.0: -1.0, 1200.0: -7.0, 3000.0: -15.0, 8000.0: -30.0})
    sound = 0.4 * harmonics(turns * vanes, rolled_off(8, 0.9, run.unit), run.clip)
    sound += 0.9 * run.load * water * strokes * run.wander(0.1, 1.0)
    sound += 0.3 * harmonics(run.turns(100.0, 0.0), rolled_off(5, 1.0, run.unit), run.clip)
    tick = ringing(
        run.sample_rate_hz,
        [
            (run.unit.uniform(900.0, 1600.0), 0.008, 1.0),
            (run.unit.uniform(2000.0, 3500.0), 0.004, 0.7),
        ],
        0.05,
    )
    at, strength = regular(run, stroke_hz, 0.03)
    return Running(sound + strikes(run.n_samples, at, 2.2 * strength, tick), shaft_hz)
