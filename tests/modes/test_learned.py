"""The modes of a machine survive the model file, and their names are for people."""

import json

import numpy as np
import pytest

from asd_monitor.modes.fit import adjust_held_out, fit_modes
from asd_monitor.modes.learned import LearnedModes
from asd_monitor.modes.naming import name_modes

OCTAVES, WINDOW_S = 8, 2.0


def _fit(levels_db: tuple[float, ...] = (-60.0, -40.0)) -> tuple[LearnedModes, np.ndarray]:
    """Return modes of a minute each in turn, whose scores differ, and the adjusted scores."""
    rng = np.random.default_rng(0)
    level_db = np.repeat([*levels_db, *levels_db], 60)
    profiles = level_db[:, None] + rng.normal(0, 0.5, (len(level_db), OCTAVES))
    mode = np.searchsorted(np.unique(levels_db), level_db)
    scores = 3.0 * mode[:, None] + rng.normal(0, 0.5 + mode[:, None], (len(level_db), 3))
    start_s = WINDOW_S * np.arange(len(level_db))
    session = np.zeros(len(level_db), np.int64)
    modes = fit_modes(profiles, level_db, session, start_s, WINDOW_S, scores)
    return modes, adjust_held_out(modes, profiles, scores)


def test_modes_are_ordered_by_level_and_named() -> None:
    modes, _ = _fit()
    assert modes.names == ("off", "running")
    assert [mode.blocks for mode in modes.modes] == [24, 24]


def test_adjusted_scores_have_the_same_range_in_every_mode() -> None:
    _, adjusted = _fit()
    first, second = np.r_[adjusted[:60], adjusted[120:180]], np.r_[adjusted[60:120], adjusted[180:]]
    assert np.allclose(np.median(first, 0), np.median(second, 0), atol=0.4)
    # The spreads differ by a factor of 3 before; with a few minutes of each they are shrunk.
    assert np.allclose(first.std(0) / second.std(0), 1.0, atol=0.5)


def test_a_single_mode_leaves_scores_alone() -> None:
    modes, adjusted = _fit((-40.0,))
    assert modes.names == ("running",)
    assert modes.modes[0].scale is None
    assert adjusted.std() > 0


def test_modes_survive_json() -> None:
    modes, _ = _fit()
    restored = LearnedModes.from_dict(json.loads(json.dumps(modes.to_dict())))
    assert restored.names == modes.names
    assert np.allclose(restored.modes[1].profile_db, modes.modes[1].profile_db, atol=1e-3)
    assert restored.modes[0].scale == modes.modes[0].scale


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"modes": []}, "1 to 50"),
        ({"modes": 3}, "expected a list"),
        ({"steadiness_db": -1}, "steadiness_db"),
    ],
)
def test_damaged_modes_are_refused(change: dict[str, object], expected: str) -> None:
    modes, _ = _fit()
    with pytest.raises(ValueError, match=expected):
        LearnedModes.from_dict({**modes.to_dict(), **change})


@pytest.mark.parametrize("field", ["name", "profile_db", "level_dbfs", "blocks", "centre"])
def test_damaged_mode_is_refused(field: str) -> None:
    values = json.loads(json.dumps(_fit()[0].to_dict()))
    values["modes"][0][field] = "\n"
    with pytest.raises(ValueError, match=field):
        LearnedModes.from_dict(values)


@pytest.mark.parametrize(
    ("levels_dbfs", "names"),
    [
        ([-30.0], ["running"]),
        ([-40.0, -30.0], ["idle", "running"]),
        ([-80.0, -50.0, -40.0], ["off", "idle", "running"]),
        ([-32.0, -30.0], ["running", "running, louder"]),
        ([-30.2, -30.0], ["running 1", "running 2"]),
        ([-50.0, -32.0, -30.0], ["idle", "running", "running, louder"]),
        ([-50.0, -32.0, -30.0, -28.0], ["idle", "running 1", "running 2", "running 3"]),
    ],
)
def test_names_follow_from_levels(levels_dbfs: list[float], names: list[str]) -> None:
    assert name_modes(levels_dbfs) == names
