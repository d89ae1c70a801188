"""Modes are found without labels, and one is preferred."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.modes.clusters import MIN_BLOCKS, find_clusters

OCTAVES = 8


def _draw(rng: np.random.Generator, level_db: float, blocks: int) -> np.ndarray:
    return level_db + rng.normal(0, 0.8, (blocks, OCTAVES))


def _follows(*bouts: int) -> np.ndarray:
    return np.concatenate([np.arange(count) > 0 for count in bouts])


def test_two_modes_that_differ_clearly_are_found_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    parts = [_draw(rng, level_db, 12) for level_db in (-50.0, -40.0, -50.0, -40.0)]
    labels = find_clusters(np.concatenate(parts), _follows(12, 12, 12, 12))
    swapped = find_clusters(np.concatenate(parts[::-1]), _follows(12, 12, 12, 12))
    assert labels.max() == 1
    assert len(set(labels[:12])) == len(set(labels[12:24])) == 1
    assert labels[0] == labels[24] != labels[12] == labels[36]
    assert [labels[0] == label for label in labels] == [
        swapped[-1] == label for label in swapped[::-1]
    ]


def test_three_modes_at_equal_distances_are_found() -> None:
    rng = np.random.default_rng(1)
    parts = [_draw(rng, level_db, 15) for level_db in (-50.0, -44.0, -38.0)]
    assert find_clusters(np.concatenate(parts), _follows(15, 15, 15)).max() == 2


def test_modes_of_equal_level_and_different_spectrum_are_found() -> None:
    rng = np.random.default_rng(2)
    tilt = np.linspace(-8, 8, OCTAVES)
    parts = [_draw(rng, -50.0, 15) + tilt, _draw(rng, -50.0, 15) - tilt]
    assert find_clusters(np.concatenate(parts), _follows(15, 15)).max() == 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["one mode", "slow drift", "few blocks"])
def test_one_mode_is_not_divided(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = 12 if kind == "few blocks" else 60
    profiles = _draw(rng, -50.0, blocks) * rng.uniform(0.9, 1.1, OCTAVES)
    if kind == "slow drift":
        profiles += np.linspace(0, 10, blocks)[:, None]
    assert not find_clusters(profiles, _follows(blocks)).any()


def test_a_short_bout_is_not_a_mode() -> None:
    rng = np.random.default_rng(3)
    profiles = np.concatenate([_draw(rng, -50.0, 40), _draw(rng, -30.0, MIN_BLOCKS - 1)])
    assert not find_clusters(profiles, _follows(40, MIN_BLOCKS - 1)).any()


def test_a_short_bout_that_a_person_confirmed_is_a_mode() -> None:
    rng = np.random.default_rng(3)
    profiles = np.concatenate([_draw(rng, -50.0, 40), _draw(rng, -30.0, MIN_BLOCKS)])
    follows, confirmed = _follows(40, MIN_BLOCKS), np.arange(40 + MIN_BLOCKS) >= 40
    assert not find_clusters(profiles, follows).any()
    assert np.array_equal(find_clusters(profiles, follows, confirmed) == 1, confirmed)


def test_odd_blocks_do_not_hide_two_modes() -> None:
    rng = np.random.default_rng(4)
    parts = [_draw(rng, -50.0, 20), _draw(rng, -10.0, 1), _draw(rng, -40.0, 20)]
    labels = find_clusters(np.concatenate(parts), _follows(20, 1, 20))
    assert labels.max() == 1
    assert labels[0] != labels[-1]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_every_block_gets_one_mode(blocks: int, seed: int) -> None:
    profiles = np.random.default_rng(seed).normal(-50, 5, (blocks, OCTAVES))
    labels = find_clusters(profiles, _follows(blocks))
    assert labels.shape == (blocks,)
    assert set(labels) == set(range(labels.max() + 1))
