"""Steps of the wall clock are distinguished from its drift."""

from dataclasses import dataclass

from asd_monitor.telemetry.clock_steps import MIN_STEP_S, ClockSteps


@dataclass
class Clocks:
    wall_s: float = 1000.0
    steady_s: float = 5.0

    def advance(self, seconds: float, step_s: float = 0.0) -> None:
        self.steady_s += seconds
        self.wall_s += seconds + step_s


def test_a_step_of_the_clock_is_returned_once() -> None:
    clocks = Clocks()
    steps = ClockSteps(lambda: clocks.wall_s, lambda: clocks.steady_s)
    clocks.advance(100.0)
    assert steps.take_step_s() == 0.0
    clocks.advance(1.0, step_s=50_000.0)
    assert steps.take_step_s() == 50_000.0
    assert steps.take_step_s() == 0.0
    clocks.advance(1.0, step_s=-7200.0)
    assert steps.take_step_s() == -7200.0


def test_drift_is_corrected_as_soon_as_it_adds_up_to_a_step() -> None:
    clocks = Clocks()
    steps = ClockSteps(lambda: clocks.wall_s, lambda: clocks.steady_s)
    taken = []
    for _ in range(5):
        clocks.advance(1000.0, step_s=MIN_STEP_S / 2)
        taken.append(steps.take_step_s())
    assert taken == [0.0, MIN_STEP_S, 0.0, MIN_STEP_S, 0.0]
