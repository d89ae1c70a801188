"""Normal operation alone is collected, and never the neighbourhood of an event."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from asd_monitor.recalibration.stretches import (
    AFTER_EVENT_S,
    BEFORE_EVENT_S,
    STRETCH_BLOCKS,
    LeftOut,
    StretchCollector,
)
from asd_monitor.records import Quality, ScoredWindow, State
from tests.recalibration.streams import (
    BLOCK_S,
    NOON_S,
    WINDOW_S,
    collect,
    draw_voices,
    make_rule,
    play,
)

HOUR = round(3600 / WINDOW_S)


def test_normal_sound_is_taken_half_an_hour_later_in_stretches_of_ten_minutes() -> None:
    stretches = collect(play(draw_voices(HOUR)), StretchCollector(make_rule()))
    assert [len(stretch) for stretch in stretches] == [STRETCH_BLOCKS] * 3
    assert [stretch.start_s - NOON_S for stretch in stretches] == [0.0, 600.0, 1200.0]


@pytest.mark.parametrize("state", [State.WARNING, State.ALARM])
def test_the_neighbourhood_of_an_event_is_never_taken(state: State) -> None:
    voices = draw_voices(4 * HOUR)
    begins, ends = round(1.3 * HOUR), round(1.4 * HOUR)
    windows = chain(
        play(voices[:begins]),
        play(voices[begins:ends], state, first=begins, evidence_s=300.0),
        play(voices[ends:], first=ends),
    )
    collector = StretchCollector(make_rule())
    stretches = collect(windows, collector)
    for stretch in stretches:
        start_s = stretch.start_s - NOON_S
        end_s = start_s + BLOCK_S * len(stretch)
        before_s = begins * WINDOW_S - BEFORE_EVENT_S - 300.0
        assert end_s <= before_s or start_s >= ends * WINDOW_S + AFTER_EVENT_S
    assert sum(map(len, stretches)) * BLOCK_S > 1.8 * 3600
    assert collector.left_out_s[LeftOut.EVENT] >= BEFORE_EVENT_S + AFTER_EVENT_S


@pytest.mark.parametrize("quality", [Quality.CLIPPED, Quality.DC, Quality.SILENT])
def test_doubtful_sound_is_not_taken(quality: Quality) -> None:
    collector = StretchCollector(make_rule())
    assert not collect(play(draw_voices(2 * HOUR), quality=quality), collector)
    assert collector.left_out_s[LeftOut.DOUBT] == pytest.approx(7200.0)


@pytest.mark.parametrize("state", [State.OFF, State.UNKNOWN])
def test_a_machine_that_is_off_or_unknown_is_not_learned_from(state: State) -> None:
    assert not collect(play(draw_voices(2 * HOUR), state), StretchCollector(make_rule()))


def test_a_shelved_machine_is_not_learned_from() -> None:
    collector = StretchCollector(make_rule())
    collector.is_shelved = True
    assert not collect(play(draw_voices(2 * HOUR)), collector)
    assert collector.left_out_s[LeftOut.SHELVED] == pytest.approx(7200.0)


def test_sound_that_has_moved_away_from_commissioning_is_not_taken() -> None:
    rule = make_rule()
    assert rule.voices is not None
    collector = StretchCollector(rule)
    moved = draw_voices(2 * HOUR) - np.array([0.0, 2.0, 0.0]) * rule.voices.scale
    assert not collect(play(moved), collector)
    assert collector.left_out_s[LeftOut.DRIFT] > 3600.0


def test_a_stretch_with_a_median_score_above_the_normal_range_is_not_taken() -> None:
    rule = make_rule()
    assert rule.normal_range is not None
    narrow = replace(rule, normal_range=replace(rule.normal_range, level=0.9))
    collector = StretchCollector(narrow)
    assert not collect(play(draw_voices(2 * HOUR)), collector)
    assert collector.left_out_s[LeftOut.UNUSUAL] > 3600.0


def test_a_block_never_spans_lost_audio() -> None:
    def with_loss(window: ScoredWindow) -> ScoredWindow:
        lost = 500 if window.score.seq % 3 == 0 else 0
        return replace(window, score=replace(window.score, lost_samples=lost))

    collector = StretchCollector(make_rule())
    assert not collect(map(with_loss, play(draw_voices(2 * HOUR))), collector)


def test_windows_that_overlap_count_once() -> None:
    windows = list(play(draw_voices(HOUR)))
    doubled = [each for window in windows for each in (window, window)]
    taken = [collect(iter(each), StretchCollector(make_rule())) for each in (windows, doubled)]
    assert np.array_equal(taken[0][1].voices, taken[1][1].voices)
    assert len(taken[0]) == len(taken[1])
