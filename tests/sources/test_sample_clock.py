"""Losses are found by the clock; late callbacks and a drifting device are not losses."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.sources.microphone.sample_clock import Gap, SampleClock
from asd_monitor.sources.microphone.track import describe_wrong_rate

RATE_HZ = 48000
LATENCY_S = 1.0


@dataclass
class Device:
    """Simulated callbacks of a device: bursts, late ones, a drifting clock and losses."""

    clock: SampleClock
    speed: float = 1.0
    block_s: float = 0.05
    """Length of a callback's block."""
    burst_s: float = 0.25
    """Interval between bursts of callbacks."""
    lateness_s: float = 0.01
    seed: int = 0
    now_s: float = 100.0
    frames: int = 0
    lost: int = 0
    gaps: list[Gap] = field(default_factory=list)

    def run(self, seconds: float, flag: bool = False) -> None:
        random = np.random.default_rng(self.seed)
        self.seed += 1
        end_s = self.now_s + seconds
        while self.now_s < end_s - 1e-9:
            self.now_s += self.burst_s
            captured = round((self.now_s - 100.0) * RATE_HZ * self.speed) - self.lost
            late_s = random.uniform(0, self.lateness_s) * (random.random() < 0.7)
            while self.frames < captured:
                self.frames = min(captured, self.frames + round(self.block_s * RATE_HZ))
                self.clock.observe(self.frames, self.now_s + late_s, overflow=flag)
                flag = False
            self.gaps += self.clock.pop_gaps()

    def stall(self, seconds: float) -> None:
        """Deliver nothing for a while, and all of it afterwards."""
        self.now_s += seconds

    def lose(self, seconds: float) -> None:
        """Deliver nothing for a while, and lose it."""
        self.now_s += seconds
        self.lost += round(seconds * RATE_HZ)

    @property
    def counted(self) -> int:
        return sum(gap.lost_frames for gap in self.gaps)


def device(*, resumed: bool = False, **properties: float) -> Device:
    return Device(SampleClock(RATE_HZ, 100.0, LATENCY_S, resumed=resumed), **properties)  # type: ignore[arg-type]


@pytest.mark.parametrize("speed", [1.0, 1.0005, 0.9995, 0.99, 1.01])
@pytest.mark.parametrize("lateness_s", [0.0, 0.02])
def test_a_clock_that_runs_fast_or_slow_is_not_a_loss(speed: float, lateness_s: float) -> None:
    microphone = device(speed=speed, lateness_s=lateness_s)
    microphone.run(120)
    assert microphone.gaps == []


def test_a_rate_that_is_wrong_by_one_percent_is_measured_within_a_minute() -> None:
    microphone = device(speed=0.99, lateness_s=0.02)
    microphone.run(59)
    measured_hz = microphone.clock.measured_rate_hz
    assert measured_hz == pytest.approx(0.99 * RATE_HZ, rel=0.001)
    reason = describe_wrong_rate("microphone 'usb'", measured_hz, RATE_HZ)
    assert reason.startswith(f"microphone 'usb' delivers {measured_hz:.0f} samples per second")
    assert describe_wrong_rate("usb", RATE_HZ * 1.001, RATE_HZ) == ""
    assert describe_wrong_rate("usb", None, RATE_HZ) == ""


def test_no_rate_is_reported_before_it_was_measured_for_long_enough() -> None:
    microphone = device()
    microphone.run(15)
    assert microphone.clock.measured_rate_hz is None


def test_a_rate_is_not_measured_across_a_loss() -> None:
    microphone = device()
    microphone.run(40)
    microphone.lose(1.0)
    microphone.run(15, flag=True)
    assert microphone.clock.measured_rate_hz is None
    microphone.run(15)
    assert microphone.clock.measured_rate_hz == pytest.approx(RATE_HZ, rel=0.001)


@pytest.mark.parametrize("lost_s", [0.02, 0.3, 5.0])
def test_a_flagged_loss_is_measured_and_placed_where_it_happened(lost_s: float) -> None:
    microphone = device()
    microphone.run(10)
    before = microphone.frames
    microphone.lose(lost_s)
    microphone.run(5, flag=True)
    (gap,) = microphone.gaps
    assert gap.frame == before
    assert gap.lost_frames == pytest.approx(microphone.lost, abs=0.012 * RATE_HZ)


def test_a_loss_without_a_flag_is_found() -> None:
    microphone = device(lateness_s=0.005)
    microphone.run(10)
    microphone.lose(0.2)
    microphone.run(6)
    assert microphone.counted == pytest.approx(microphone.lost, abs=0.02 * RATE_HZ)


@pytest.mark.parametrize(("lost_s", "found"), [(0.01, False), (0.03, True)])
def test_a_loss_in_a_stall_is_found_from_20_ms_on(lost_s: float, found: bool) -> None:
    microphone = device(lateness_s=0.0)
    microphone.run(10)
    microphone.stall(0.9)
    microphone.lose(lost_s)
    microphone.run(6)
    assert bool(microphone.gaps) is found
    assert microphone.counted == (microphone.lost if found else 0)


def test_a_flag_without_a_loss_is_not_a_loss() -> None:
    microphone = device(lateness_s=0.0)
    microphone.run(10)
    microphone.run(5, flag=True)
    assert microphone.gaps == []


def test_a_stall_after_which_everything_arrives_is_not_a_loss() -> None:
    microphone = device(lateness_s=0.0)
    microphone.run(10)
    microphone.stall(0.9)
    microphone.run(5)
    assert microphone.gaps == []


def test_frames_are_held_back_until_the_loss_before_them_is_known() -> None:
    microphone = device()
    microphone.run(10)
    before = microphone.frames
    assert microphone.clock.placed_frames == before
    microphone.lose(0.5)
    microphone.run(0.25, flag=True)
    assert microphone.clock.placed_frames == before
    microphone.run(3)
    assert microphone.clock.placed_frames == microphone.frames


def test_the_first_frames_after_a_reopening_are_held_back_until_placed() -> None:
    microphone = device(resumed=True, lateness_s=0.02)
    microphone.run(0.25)
    assert microphone.clock.placed_frames == 0
    microphone.run(2)
    assert microphone.clock.placed_frames == microphone.frames
    assert microphone.clock.captured_s(0) == pytest.approx(100.0, abs=0.02)


@pytest.mark.parametrize("speed", [1.0, 0.9995])
def test_the_time_of_capture_follows_the_device(speed: float) -> None:
    microphone = device(speed=speed)
    microphone.run(300)
    true_s = 100.0 + microphone.frames / (RATE_HZ * speed)
    assert microphone.clock.captured_s(microphone.frames) == pytest.approx(true_s, abs=0.02)


def test_a_device_that_delivers_far_too_much_is_recognised() -> None:
    microphone = device(speed=3.0)
    microphone.run(1)
    assert not microphone.clock.running_ahead
    microphone.run(3)
    assert microphone.clock.running_ahead


@pytest.mark.parametrize("ppm", [100, -100])
def test_a_slightly_fast_clock_does_not_deliver_too_much(ppm: float) -> None:
    """100 ppm add up to 3 s in eight hours; many sound cards are as far off and run for weeks."""
    microphone = device(speed=1 + ppm * 1e-6, block_s=0.25)
    for _ in range(12):
        microphone.run(3600)
        assert not microphone.clock.running_ahead


def test_a_device_that_starts_to_deliver_too_much_after_a_day_is_recognised() -> None:
    microphone = device(speed=1 - 1e-4, block_s=0.25)
    microphone.run(24 * 3600)
    microphone.frames += 4 * RATE_HZ
    microphone.clock.observe(microphone.frames, microphone.now_s + 0.1, overflow=False)
    assert microphone.clock.running_ahead


@settings(max_examples=40, deadline=None)
@given(
    losses=st.lists(
        st.tuples(st.floats(0.06, 3.0), st.booleans(), st.floats(6.0, 20.0)), max_size=5
    ),
    ppm=st.floats(-300, 300),
    block_s=st.floats(0.003, 0.25),
    seed=st.integers(0, 1000),
)
def test_received_and_lost_frames_add_up_to_the_elapsed_time(
    losses: list[tuple[float, bool, float]], ppm: float, block_s: float, seed: int
) -> None:
    microphone = device(speed=1 + ppm * 1e-6, block_s=block_s, seed=seed)
    microphone.run(10)
    for lost_s, flagged, pause_s in losses:
        microphone.lose(lost_s)
        microphone.run(pause_s, flag=flagged)
    tolerance = (0.02 * (1 + len(losses)) + 300e-6 * 20) * RATE_HZ
    assert microphone.counted == pytest.approx(microphone.lost, abs=tolerance)
    assert len(microphone.gaps) == len(losses)
