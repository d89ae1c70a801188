"""Sound that faults are injected into is not learned, nor is sound close to it."""

import numpy as np
import pytest

from asd_monitor.detectability.held_out import HELD_OUT_S, TRIALS, Trial, plan_trials
from asd_monitor.quickstart import Recording

RATE_HZ = 100


def session(count: int, name: str = "one", length_s: float = 10.0) -> list[Recording]:
    silence = np.zeros(round(length_s * RATE_HZ), np.float32)
    return [Recording(f"{name}-{n}", silence, name, start_s=n * length_s) for n in range(count)]


def distance_s(trial: Trial) -> float:
    """Return the least time between sound that is held out and sound that is learned."""
    return min(
        max(
            learned.start_s - held.start_s - len(held.samples) / RATE_HZ,
            held.start_s - learned.start_s - len(learned.samples) / RATE_HZ,
        )
        for held in trial.held_out
        for learned in trial.learned
    )


@pytest.mark.parametrize(("count", "guard_s"), [(18, 18.0), (30, 30.0), (60, 30.0), (200, 30.0)])
def test_held_out_sound_has_a_distance_from_what_is_learned(count: int, guard_s: float) -> None:
    trials = plan_trials(session(count), RATE_HZ)
    assert len(trials) == TRIALS
    for trial in trials:
        assert distance_s(trial) >= guard_s
        assert sum(len(part.samples) for part in trial.held_out) <= HELD_OUT_S * RATE_HZ
        assert len(trial.learned) >= count / 3
    held_out = [part.name for trial in trials for part in trial.held_out]
    assert len(held_out) == len(set(held_out))


def test_one_long_recording_is_divided() -> None:
    whole = session(1, length_s=305.0)
    trials = plan_trials(whole, RATE_HZ)
    assert len(trials) == TRIALS
    assert all(distance_s(trial) >= 30.0 for trial in trials)


def test_recordings_of_unknown_time_are_left_out_alone() -> None:
    parts = [Recording(part.name, part.samples) for part in session(30)]
    for trial in plan_trials(parts, RATE_HZ):
        assert len(trial.learned) == 30 - len(trial.held_out)


def test_half_an_hour_of_sound_needs_one_fit_only() -> None:
    trials = plan_trials(session(180), RATE_HZ)
    assert all(trial.learned is trials[0].learned for trial in trials)
    held_out = {part.name for trial in trials for part in trial.held_out}
    assert not held_out & {part.name for part in trials[0].learned}


@pytest.mark.parametrize("count", [0, 1, 17])
def test_with_less_than_three_minutes_nothing_is_held_out(count: int) -> None:
    assert plan_trials(session(count), RATE_HZ) == []
