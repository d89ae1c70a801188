"""Hours of a machine, and their drift since commissioning in words."""

from pathlib import Path

import numpy as np
import pytest

from asd_monitor.calibration.learned_levels import LearnedLevels
from asd_monitor.normal_sound.band_levels import band_edges_hz
from asd_monitor.normal_sound.statistics import NormalSound
from asd_monitor.recalibration.drift import DAY_S, WEEK_S, Reference, measure_drift
from asd_monitor.recalibration.hours import (
    HOUR_S,
    KEPT_S,
    Hour,
    HourCollector,
    append_hour,
    read_hours,
    remove_old_hours,
)
from asd_monitor.records import Quality, State
from tests.recalibration.streams import NAMES, NOON_S, SHA256, draw_voices, make_rule, play

RATE_HZ = 16_000
BANDS = len(band_edges_hz(RATE_HZ)) - 1
RULE = make_rule()
assert RULE.voices is not None
VOICES = RULE.voices


def make_reference() -> Reference:
    noise = np.random.default_rng(0).normal(0, 0.05, (20, 2 * RATE_HZ)).astype(np.float32)
    return Reference(VOICES, LearnedLevels(-32.0, -30.0, -28.0), NormalSound.fit(noise, RATE_HZ, 2))


REFERENCE = make_reference()


def make_hours(
    days: int, db_per_day: float = 0.0, scales: float = 0.0, level_db: float = 0.0
) -> list[Hour]:
    """Return hours up to NOON_S whose bands at 1 to 2 kHz become louder day by day."""
    assert REFERENCE.normal is not None
    normal = REFERENCE.normal.as_16_bits().mean.median_db
    edges = np.array(band_edges_hz(RATE_HZ))
    inside = (edges[:-1] > 990) & (edges[1:] < 2050)
    hours = []
    for number in range(24 * days):
        day = number / 24
        bands = normal + inside * db_per_day * day
        voices = VOICES.centre + np.array([0.0, scales, 0.0]) * VOICES.scale
        start_s = NOON_S - DAY_S * days + HOUR_S * number
        hours.append(
            Hour(start_s, 3500.0, 1.0, -30.0 + level_db, tuple(voices), tuple(bands), SHA256)
        )
    return hours


def test_a_band_that_becomes_louder_is_named_with_its_range_and_since_when() -> None:
    drift = measure_drift(make_hours(9, 0.5), REFERENCE, NOON_S - WEEK_S, NOON_S)
    assert drift.is_notable
    (band,) = drift.bands
    assert 2.5 < band.change_db < 3.0
    assert drift.sentence == "2.7 dB louder at 1 to 2 kHz than at commissioning, rising for 9 days"


def test_a_band_that_becomes_quieter_is_falling() -> None:
    drift = measure_drift(make_hours(12, -0.5), REFERENCE, NOON_S - WEEK_S, NOON_S)
    assert "quieter at 1 to 2 kHz" in drift.sentence
    assert "falling for 12 days" in drift.sentence


def test_a_change_that_does_not_grow_has_no_since() -> None:
    hours = make_hours(9, 0.0)
    loud = make_hours(1, 1.0)[0]
    bands = np.array(loud.bands_db) + 4.0
    steady = [Hour(h.start_s, 3500.0, 1.0, -30.0, h.voices, tuple(bands), SHA256) for h in hours]
    drift = measure_drift(steady, REFERENCE, NOON_S - WEEK_S, NOON_S)
    assert drift.bands[0].days == 0
    assert drift.sentence.startswith("4.0 dB louder at")


def test_voices_that_moved_are_named_in_words_and_sorted() -> None:
    drift = measure_drift(make_hours(7, scales=1.3), REFERENCE, NOON_S - WEEK_S, NOON_S)
    assert drift.groups[0].name == "tones"
    assert drift.groups[0].scales == pytest.approx(1.3)
    assert drift.sentence == "tones has moved by up to 1.3 times the normal spread"


def test_a_level_that_changed_is_reported() -> None:
    drift = measure_drift(make_hours(7, level_db=-4.0), REFERENCE, NOON_S - WEEK_S, NOON_S)
    assert drift.sentence == "4.0 dB quieter in all than at commissioning"


def test_without_drift_it_says_so() -> None:
    drift = measure_drift(make_hours(7), REFERENCE, NOON_S - WEEK_S, NOON_S)
    assert not drift.is_notable
    assert drift.sentence == "no drift: it sounds as at commissioning"


def test_few_hours_say_nothing() -> None:
    drift = measure_drift(make_hours(7)[-3:], REFERENCE, NOON_S - WEEK_S, NOON_S)
    assert not drift.is_known
    assert not drift.is_notable
    assert drift.sentence.startswith("3 h of sound")


def collect(hours: float, state: State = State.NORMAL, quality: Quality = Quality.OK) -> list[Hour]:
    collector = HourCollector(RULE, SHA256)
    windows = play(draw_voices(round(hours * 1800)), state, quality)
    return [hour for window in windows if (hour := collector.add(window)) is not None]


def test_an_hour_holds_the_medians_of_its_blocks() -> None:
    (hour,) = collect(1.5)
    assert hour.start_s == NOON_S
    assert hour.sound_s == pytest.approx(3600.0, abs=10.0)
    assert hour.voices == pytest.approx([0.0] * len(NAMES), abs=0.05)
    assert hour.level_dbfs == -30.0


@pytest.mark.parametrize("state", [State.WARNING, State.ALARM])
def test_a_drift_that_raises_alarms_is_still_in_the_hours(state: State) -> None:
    assert len(collect(1.5, state)) == 1


@pytest.mark.parametrize(
    ("state", "quality"),
    [(State.OFF, Quality.OK), (State.UNKNOWN, Quality.OK), (State.NORMAL, Quality.CLIPPED)],
)
def test_sound_that_says_nothing_is_not_in_the_hours(state: State, quality: Quality) -> None:
    assert collect(2.0, state, quality) == []


def test_lines_that_were_cut_short_are_left_out(tmp_path: Path) -> None:
    path, (first, second, *_) = tmp_path / "calibration" / "pump.hours", make_hours(1)
    append_hour(path, first)
    with path.open("a") as file:
        file.write(second.to_json()[:40])  # the disk was full
    append_hour(path, second)
    read = read_hours(path)
    assert [hour.start_s for hour in read] == [first.start_s, second.start_s]
    assert read[0].bands_db == pytest.approx(first.bands_db, abs=0.001)


def test_old_hours_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "pump.hours"
    for hour in make_hours(1)[:3]:
        append_hour(path, hour)
    last = read_hours(path)[-1]
    remove_old_hours(path, last.start_s + KEPT_S)
    assert read_hours(path) == [last]
    assert read_hours(tmp_path / "none.hours") == []
