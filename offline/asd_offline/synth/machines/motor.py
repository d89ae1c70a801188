"""Small motors under changing load: toy vehicles, trains on their track, a conveyor."""

import numpy as np

from asd_monitor.demo.pump_sound import DoubleArray, ringing
from asd_offline.synth.run import Run, Running, harmonics, regular, rolled_off, strikes


def _motor(run: Run, motor_hz: float) -> tuple[DoubleArray, DoubleArray]:
    """A motor with commutator and plastic gears that slows down as its load rises.

    Returns its sound and its turns.
    """
    load = run.load * run.wander(0.2, 0.5) * run.wander(0.15, 2.5)
    turns = run.turns(motor_hz * (1.15 - 0.15 * load), 0.006)
    gear = harmonics(turns * int(run.unit.integers(8, 13)), rolled_off(4, 0.6, run.unit), run.clip)
    brush = run.noise({300.0: -12.0, 1500.0: -2.0, 3500.0: 0.0, 6000.0: -4.0, 8000.0: -9.0})
    sound = 0.5 * harmonics(turns, rolled_off(10, 0.6, run.unit), run.clip)
    return sound + 0.5 * load * gear + 0.5 * brush * (0.7 + 0.3 * load), turns


def toy_car(run: Run) -> Running:
    """A car on rollers: motor, gears, tyres."""
    motor_hz = run.unit.uniform(120.0, 170.0) * run.speed
    sound, turns = _motor(run, motor_hz)
    tyres = run.noise({100.0: 0.0, 600.0: -2.0, 1500.0: -12.0, 8000.0: -30.0})
    wheel = 1.0 + 0.3 * np.cos(2 * np.pi * turns / 9.0)
    return Running(sound + 0.7 * tyres * wheel, motor_hz / 9.0)


def toy_train(run: Run) -> Running:
    """A train going round: motor, and the double beat of two axles on each rail joint."""
    motor_hz = run.unit.uniform(70.0, 110.0) * run.speed
    sound, _ = _motor(run, motor_hz)
    roll = run.noise({100.0: -3.0, 500.0: 0.0, 2000.0: -6.0, 8000.0: -22.0})
    beat = ringing(
        run.sample_rate_hz,
        [(run.unit.uniform(400.0, 800.0), 0.012, 1.0), (run.unit.uniform(1800, 3200), 0.005, 0.7)],
        0.06,
    )
    at, strength = regular(run, run.unit.uniform(1.6, 2.6) * run.speed, 0.02)
    axle = int(run.unit.uniform(0.08, 0.12) / run.speed * run.sample_rate_hz)
    sound += 0.8 * roll * run.wander(0.15, 0.4)
    sound += strikes(run.n_samples, at, 2.4 * strength, beat)
    return Running(sound + strikes(run.n_samples, at + axle, 1.8 * strength, beat), motor_hz / 9.0)


def toy_tank(run: Run) -> Running:
    """Tracks: links that clatter over their wheels many times a second."""
    motor_hz = run.unit.uniform(90.0, 130.0) * run.speed
    sound, _ = _motor(run, motor_hz)
    link = ringing(
        run.sample_rate_hz,
        [(run.unit.uniform(900.0, 1500.0), 0.005, 1.0), (run.unit.uniform(2500, 4000), 0.003, 0.8)],
        0.03,
    )
    at, strength = regular(run, run.unit.uniform(18.0, 26.0) * run.speed, 0.12)
    return Running(sound + strikes(run.n_samples, at, 1.6 * strength, link), motor_hz / 9.0)


def conveyor(run: Run) -> Running:
    """A belt over rollers: rolling noise, and its seam that passes once per round."""
    motor_hz = run.unit.uniform(45.0, 70.0) * run.speed
    sound, turns = _motor(run, motor_hz)
    rollers = run.noise({80.0: 0.0, 400.0: -1.0, 1500.0: -8.0, 4000.0: -16.0, 8000.0: -28.0})
    sound = 0.6 * sound + rollers * (1.0 + 0.25 * np.cos(2 * np.pi * turns / 5.0))
    seam = ringing(
        run.sample_rate_hz,
        [(run.unit.uniform(180.0, 350.0), 0.03, 1.0), (run.unit.uniform(900, 1500), 0.008, 0.5)],
        0.15,
    )
    at, strength = regular(run, run.unit.uniform(0.5, 0.9) * run.speed, 0.01)
    return Running(sound + strikes(run.n_samples, at, 2.0 * strength, seam), motor_hz / 5.0)
