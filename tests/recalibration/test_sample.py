"""The calibration sample is bounded and fair, and its file survives or is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.recalibration import sample as module
from asd_monitor.recalibration.sample import MAX_AGE_S, MAX_BLOCKS, PERIOD_S, CalibrationSample
from tests.recalibration.streams import BLOCK_S, NOON_S, SHA256, TARGET, WINDOW_S, make_stretch


def make_sample(*starts_s: float, blocks: int = 60) -> CalibrationSample:
    stretches = [make_stretch(start_s, blocks) for start_s in starts_s]
    return CalibrationSample(SHA256, TARGET, WINDOW_S, stretches)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40 * 86_400), st.integers(6, 60)), min_size=1, max_size=80),
    st.integers(60, 600),
)
def test_the_sample_is_never_larger_or_older_than_its_bounds(
    added: list[tuple[int, int]], max_blocks: int
) -> None:
    sample = make_sample()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_BLOCKS", max_blocks)
        for start_s, blocks in sorted(added):
            kept = sample.add(make_stretch(NOON_S + start_s, blocks), NOON_S + start_s)
            assert len(sample) <= max_blocks
            starts = [stretch.start_s for stretch in sample.stretches]
            assert starts == sorted(set(starts))
            assert all(start_s - (start - NOON_S) <= MAX_AGE_S for start in starts)
            assert kept == (NOON_S + start_s in starts)


def test_every_period_has_the_same_chance_to_be_kept_whenever_it_was_added() -> None:
    periods = round(3 * MAX_BLOCKS * BLOCK_S / PERIOD_S)
    counts = np.zeros(2)
    for offset in range(0, 200 * periods, periods):
        sample = make_sample()
        starts = NOON_S + PERIOD_S * (offset + np.arange(periods))
        for start_s in starts:
            sample.add(make_stretch(float(start_s), round(PERIOD_S / BLOCK_S)))
        kept = {stretch.start_s for stretch in sample.stretches}
        halves = [sum(s in kept for s in part) for part in np.array_split(starts, 2)]
        counts += halves
        if offset >= 11 * periods:
            break
    assert counts[0] / counts.sum() == pytest.approx(0.5, abs=0.12)


def test_neighbouring_stretches_are_one_chain_of_blocks() -> None:
    sample = make_sample(NOON_S, NOON_S + 600.0, NOON_S + 1900.0)
    follows = sample.blocks().follows
    assert follows[[0, 60, 120]].tolist() == [False, True, False]
    assert int(follows.sum()) == 178


def test_a_file_restores_the_sample(tmp_path: Path) -> None:
    sample = make_sample(NOON_S, NOON_S + 600.0)
    sample.write(tmp_path / "calibration" / "pump.sample")
    restored = CalibrationSample.read(tmp_path / "calibration" / "pump.sample")
    assert restored is not None
    assert (restored.model_sha256, restored.target) == (SHA256, TARGET)
    assert np.array_equal(restored.blocks().means, sample.blocks().means)
    assert np.array_equal(restored.scores(), sample.scores())
    assert CalibrationSample.read(tmp_path / "none.sample") is None


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_and_never_read_as_something_else(data: st.DataObject) -> None:
    content = bytearray(make_sample(NOON_S, blocks=6).to_bytes())
    cut = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        damaged = bytes(content[:cut])
    else:
        content[cut] ^= 1 << data.draw(st.integers(0, 7))
        damaged = bytes(content)
    try:
        restored = CalibrationSample.from_bytes(damaged)
    except ValueError:
        return
    original = make_sample(NOON_S, blocks=6)
    assert np.array_equal(restored.blocks().means, original.blocks().means)
