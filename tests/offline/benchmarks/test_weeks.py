"""Synthetic weeks: the processes are as described, and false alarms are those of the live alarm."""

import numpy as np
import numpy.typing as npt
import pytest

from asd_offline.benchmarks.timelines import weeks
from asd_offline.benchmarks.timelines.weeks import PROCESSES, SPREAD, VoiceProcess, measure_weeks

MINUTE = round(60 / weeks.WINDOW_S)


def correlation(values: npt.NDArray[np.float64], lag: int) -> float:
    """Return the mean autocorrelation of the columns of ``(n, voices)``."""
    centred = np.asarray(values - values.mean(axis=0))
    products = (centred[lag:] * centred[:-lag]).mean(axis=0)
    return float(np.mean(products / centred.var(axis=0)))


def test_white_voices_are_independent_in_time_and_correlate_with_each_other() -> None:
    voices, _ = VoiceProcess("white", 1).draw(20_000, np.random.default_rng(1))
    assert abs(correlation(voices, 1)) < 0.02
    assert voices.std() == pytest.approx(SPREAD, rel=0.05)
    assert float(np.asarray(np.corrcoef(voices.T))[0, 1]) == pytest.approx(weeks.COMMON, abs=0.05)


def test_correlated_voices_keep_half_of_their_variance_with_a_time_constant_of_a_minute() -> None:
    voices, _ = VoiceProcess("correlated", 1).draw(40_000, np.random.default_rng(1))
    assert voices.std() == pytest.approx(SPREAD, rel=0.05)
    assert correlation(voices, 1) == pytest.approx(weeks.SLOW, abs=0.05)
    assert correlation(voices, MINUTE) == pytest.approx(weeks.SLOW / np.e, abs=0.05)


def test_modes_are_those_of_the_machine_and_last_about_ten_minutes() -> None:
    first, second = (
        VoiceProcess("modes", 1).draw(48_000, np.random.default_rng(seed))[0] for seed in (1, 2)
    )
    blocks = [v.reshape(-1, MINUTE, weeks.VOICES).mean(1) / SPREAD for v in (first, second)]
    assert blocks[0].std() > 0.9
    assert 0.1 < correlation(blocks[0], 10) < 0.6
    # The same machine in other weeks: the same modes, so the same mean of each voice.
    assert np.corrcoef(blocks[0].mean(0), blocks[1].mean(0))[0, 1] > 0.8


def test_a_shift_of_all_voices_raises_alarms_and_normal_sound_hardly_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weeks, "WEEK_S", 7200)
    quiet = measure_weeks("white", 1800, 1.0, [100], 1)
    assert quiet.false_alarms == 0
    assert quiet.supported is not None
    draw = VoiceProcess.draw

    def shifted(
        self: VoiceProcess, windows: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        voices, profiles = draw(self, windows, rng)
        return voices + (2 * SPREAD if windows == 7200 / weeks.WINDOW_S else 0.0), profiles

    monkeypatch.setattr(VoiceProcess, "draw", shifted)
    assert measure_weeks("white", 1800, 1.0, [100], 1).false_alarms == 1


@pytest.mark.parametrize("kind", PROCESSES)
def test_the_same_seed_gives_the_same_result(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weeks, "WEEK_S", 3600)
    first, second = (measure_weeks(kind, 600, 30.0, [100], 1) for _ in range(2))
    assert first == second
