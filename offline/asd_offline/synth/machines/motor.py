"""Small motors under varying load: toy vehicles, toy trains on rails, a conveyor."""

import numpy as np

from asd_monitor.synthesis.signals import DoubleArray, ringing, superpose_events
from asd_offline.synth.machine_run import (
    MachineRun,
    MachineSound,
    harmonic_levels,
    harmonics,
    regular_events,
)


def _motor(run: MachineRun, motor_hz: float) -> tuple[DoubleArray, DoubleArray]:
    """Simulate a commutator motor with plastic gears that slows down under load.

    Returns its sound and its accumulated revolutions, both ``(n_samples,)``.
    """
    load = run.load * run.fluctuation(0.2, 0.5) * run.fluctuation(0.15, 2.5)
    revolutions = run.revolutions(motor_hz * (1.15 - 0.15 * load), 0.006)
    gear = harmonics(
        revolutions * int(run.unit.integers(8, 13)), harmonic_levels(4, 0.6, run.unit), run.clip
    )
    brush = run.noise({300.0: -12.0, 1500.0: -2.0, 3500.0: 0.0, 6000.0: -4.0, 8000.0: -9.0})
    sound = 0.5 * harmonics(revolutions, harmonic_levels(10, 0.6, run.unit), run.clip)
    return sound + 0.5 * load * gear + 0.5 * brush * (0.7 + 0.3 * load), revolutions


def toy_car(run: MachineRun) -> MachineSound:
    """Simulate a car on rollers: motor, gears and tyres."""
    motor_hz = run.unit.uniform(120.0, 170.0) * run.speed
    sound, revolutions = _motor(run, motor_hz)
    tyres = run.noise({100.0: 0.0, 600.0: -2.0, 1500.0: -12.0, 8000.0: -30.0})
    wheel = 1.0 + 0.3 * np.cos(2 * np.pi * revolutions / 9.0)
    return MachineSound(sound + 0.7 * tyres * wheel, motor_hz / 9.0)


def toy_train(run: MachineRun) -> MachineSound:
    """Simulate a train on rails: a motor, and the double beat of two axles on each rail joint."""
    motor_hz = run.unit.uniform(70.0, 110.0) * run.speed
    sound, _ = _motor(run, motor_hz)
    roll = run.noise({100.0: -3.0, 500.0: 0.0, 2000.0: -6.0, 8000.0: -22.0})
    beat = ringing(
        run.sample_rate_hz,
        [(run.unit.uniform(400.0, 800.0), 0.012, 1.0), (run.unit.uniform(1800, 3200), 0.005, 0.7)],
        0.06,
    )
    starts, strength = regular_events(run, run.unit.uniform(1.6, 2.6) * run.speed, 0.02)
    axle = int(run.unit.uniform(0.08, 0.12) / run.speed * run.sample_rate_hz)
    sound += 0.8 * roll * run.fluctuation(0.15, 0.4)
    sound += superpose_events(run.n_samples, starts, 2.4 * strength, beat)
    return MachineSound(
        sound + superpose_events(run.n_samples, starts + axle, 1.8 * strength, beat), motor_hz / 9.0
    )


def toy_tank(run: MachineRun) -> MachineSound:
    """Simulate a tracked vehicle: links that clatter over their wheels many times per second."""
    motor_hz = run.unit.uniform(90.0, 130.0) * run.speed
    sound, _ = _motor(run, motor_hz)
    link = ringing(
        run.sample_rate_hz,
        [(run.unit.uniform(900.0, 1500.0), 0.005, 1.0), (run.unit.uniform(2500, 4000), 0.003, 0.8)],
        0.03,
    )
    starts, strength = regular_events(run, run.unit.uniform(18.0, 26.0) * run.speed, 0.12)
    return MachineSound(
        sound + superpose_events(run.n_samples, starts, 1.6 * strength, link), motor_hz / 9.0
    )


def conveyor(run: MachineRun) -> MachineSound:
    """Simulate a belt over rollers: rolling noise, and the seam once per circulation."""
    motor_hz = run.unit.uniform(45.0, 70.0) * run.speed
    sound, revolutions = _motor(run, motor_hz)
    rollers = run.noise({80.0: 0.0, 400.0: -1.0, 1500.0: -8.0, 4000.0: -16.0, 8000.0: -28.0})
    sound = 0.6 * sound + rollers * (1.0 + 0.25 * np.cos(2 * np.pi * revolutions / 5.0))
    seam = ringing(
        run.sample_rate_hz,
        [(run.unit.uniform(180.0, 350.0), 0.03, 1.0), (run.unit.uniform(900, 1500), 0.008, 0.5)],
        0.15,
    )
    starts, strength = regular_events(run, run.unit.uniform(0.5, 0.9) * run.speed, 0.01)
    return MachineSound(
        sound + superpose_events(run.n_samples, starts, 2.0 * strength, seam), motor_hz / 5.0
    )
