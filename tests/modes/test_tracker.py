"""Every window belongs to one mode, or to a state that was not learned."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.modes.learned import LearnedModes, Mode, Scale
from asd_monitor.modes.tracker import ModeTracker
from asd_monitor.records import ModeReading

RATE_HZ, WINDOW = 16_000, 32_000
OCTAVES = 8
SCORES = np.array([1.0, 2.0])
SLOPE = np.linspace(-3, 3, OCTAVES)


def _mode(name: str, level_db: float, centre: float = 0.0, spread: float = 1.0) -> Mode:
    scale = Scale((centre, centre), (spread, spread), (0.0, 0.0))
    return Mode(name, (level_db,) * OCTAVES, level_db, 20, scale)


MODES = LearnedModes((_mode("idle", -60.0, 0.0, 1.0), _mode("running", -40.0, 4.0, 2.0)), 0.5)


def _tracker() -> ModeTracker:
    return ModeTracker(MODES, WINDOW, RATE_HZ)


def _play(tracker: ModeTracker, profiles: list[np.ndarray], first: int = 0) -> list[ModeReading]:
    return [
        tracker.follow(profile, (first + index) * WINDOW, SCORES)[1]
        for index, profile in enumerate(profiles)
    ]


def _sound(level_db: float, windows: int, slope: float = 0.0, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [level_db + slope * SLOPE + rng.normal(0, 0.4, OCTAVES) for _ in range(windows)]


def test_the_first_window_has_a_mode() -> None:
    assert _play(_tracker(), _sound(-41.0, 1)) == [ModeReading("running")]


def test_a_mode_is_held_until_the_other_has_lasted() -> None:
    names = [reading.name for reading in _play(_tracker(), _sound(-40, 10) + _sound(-60, 15))]
    assert set(names[:14]) == {"running"}
    assert names[-1] == "idle"


def test_a_short_change_does_not_change_the_mode() -> None:
    readings = _play(_tracker(), _sound(-40, 10) + _sound(-60, 3) + _sound(-40, 10))
    assert {reading.label for reading in readings} == {"running"}


def test_steady_sound_that_differs_from_all_modes_is_not_learned() -> None:
    readings = _play(_tracker(), _sound(-40, 10) + _sound(-25, 12, slope=1.0))
    assert all(reading.is_learned for reading in readings[:18])
    assert readings[-1].label == "not learned"
    assert "15 dB louder" in readings[-1].description
    assert '"running"' in readings[-1].description


def test_a_state_that_was_not_learned_ends_with_its_sound() -> None:
    tracker = _tracker()
    _play(tracker, _sound(-40, 10) + _sound(-25, 12, slope=1.0))
    back = _play(tracker, _sound(-40, 8), first=22)
    assert back[-1] == ModeReading("running")


def test_unsteady_sound_is_no_state_of_the_machine() -> None:
    bursts = [_sound(-25 + 12 * (index % 2), 1, slope=1.0)[0] for index in range(20)]
    assert all(reading.is_learned for reading in _play(_tracker(), _sound(-40, 10) + bursts))


def test_sound_in_some_octaves_is_no_state_of_the_machine() -> None:
    added = np.where(np.arange(OCTAVES) < 5, 15.0, 0.0)
    faulty = [profile + added for profile in _sound(-40, 20)]
    assert all(reading.is_learned for reading in _play(_tracker(), _sound(-40, 10) + faulty))


def test_a_change_of_gain_is_no_state_of_the_machine() -> None:
    readings = _play(_tracker(), _sound(-40, 10) + _sound(-30, 20))
    assert all(reading.is_learned for reading in readings)


def test_scores_are_adjusted_to_the_mode() -> None:
    tracker = _tracker()
    idle, _ = tracker.follow(np.full(OCTAVES, -60.0), 0, np.array([1.0, 1.0]))
    tracker.reset()
    running, _ = tracker.follow(np.full(OCTAVES, -40.0), 0, np.array([6.0, 6.0]))
    assert idle.tolist() == running.tolist() == [1.0, 1.0]


def test_a_switch_is_judged_by_the_mode_in_which_it_is_more_normal() -> None:
    tracker = _tracker()
    _play(tracker, _sound(-60, 10))
    adjusted, reading = tracker.follow(np.full(OCTAVES, -40.0), 10 * WINDOW, np.array([4.0, 4.0]))
    assert reading.name == "idle"
    assert adjusted[0] == 0.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(-80, 0), st.integers(1, 3)), min_size=1, max_size=40))
def test_every_window_gets_exactly_one_mode(steps: list[tuple[float, int]]) -> None:
    tracker = _tracker()
    start = 0
    for level_db, gap in steps:
        adjusted, reading = tracker.follow(np.full(OCTAVES, level_db), start, SCORES)
        start += gap * WINDOW
        assert reading.name in MODES.names
        assert np.isfinite(adjusted).all()
