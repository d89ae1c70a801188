"""Headlines name the frequencies and the decibels that were really added to a sound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.evidence.deviations import Comparison, Deviation, Kind, compare, deviating_times
from asd_monitor.evidence.headline import NO_BAND, describe, format_hz
from asd_monitor.normal_sound.band_levels import BandFrames
from asd_monitor.normal_sound.statistics import NormalSound

RATE_HZ = 16_000
WINDOW_S = 2.0


def tone(frequency_hz: float, rms: float, seconds: float = WINDOW_S) -> np.ndarray:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.asarray(np.sqrt(2) * rms * np.sin(2 * np.pi * frequency_hz * time_s))


def noise(seed: int, seconds: float = WINDOW_S, rms: float = 0.001) -> np.ndarray:
    return rms * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))


def make_normal(tones: dict[float, float]) -> NormalSound:
    windows = [
        (noise(seed) + sum(tone(f, rms) for f, rms in tones.items())).astype(np.float32)
        for seed in range(20)
    ]
    return NormalSound.fit(windows, RATE_HZ, WINDOW_S)


def compare_with(normal: NormalSound, sounds: list[np.ndarray]) -> Comparison:
    return compare([BandFrames.of(s.astype(np.float32), RATE_HZ) for s in sounds], normal)


@settings(max_examples=25, deadline=None)
@given(
    frequency_hz=st.floats(60, 7500),
    gain_db=st.floats(4, 25),
    sign=st.sampled_from([1, -1]),
)
def test_a_tone_that_changes_by_g_db_is_named_at_its_frequency_with_g_db(
    frequency_hz: float, gain_db: float, sign: int
) -> None:
    normal = make_normal({frequency_hz: 0.03})
    changed = 0.03 * 10 ** (sign * min(gain_db, 15 if sign < 0 else 99) / 20)
    result = compare_with(normal, [noise(100 + i) + tone(frequency_hz, changed) for i in range(3)])
    strongest = result.deviations[0]
    assert strongest.kind is (Kind.LOUDER if sign > 0 else Kind.QUIETER)
    assert strongest.frequency_hz == pytest.approx(
        frequency_hz, rel=0.15 if sign < 0 else 0.03, abs=8
    )
    expected_db = sign * (gain_db if sign > 0 else min(gain_db, 15))
    assert strongest.difference_db == pytest.approx(expected_db, abs=0.7)
    assert not result.is_slight


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 10_000), min_size=3, max_size=3, unique=True))
def test_no_band_is_named_for_more_of_the_same_noise(seeds: list[int]) -> None:
    normal = make_normal({})
    result = compare_with(normal, [noise(20_000 + seed) for seed in seeds])
    assert not result.deviations or result.is_slight


def test_two_tones_that_appear_are_both_named_with_their_level() -> None:
    normal = make_normal({250: 0.01, 700: 0.01})
    louder = [
        noise(50 + i) + tone(250, 0.01 * 10 ** (6 / 20)) + tone(700, 0.01 * 10 ** (9 / 20))
        for i in range(3)
    ]
    result = compare_with(normal, louder)
    text = describe(result.deviations, is_slight=result.is_slight, duration_s=92, ongoing=False)
    assert text == "louder at 250 Hz and 700 Hz, by 6 and 9 dB, for 92 s"


def test_a_gain_change_is_called_overall() -> None:
    normal = make_normal({})
    result = compare_with(normal, [2 * noise(70 + i) for i in range(3)])
    text = describe(result.deviations, is_slight=False, duration_s=None, ongoing=False)
    assert text.startswith("louder overall")
    assert text.endswith(("by 6 dB", "by 7 dB"))


def test_knocks_that_leave_the_mean_are_named_as_peaks() -> None:
    normal = make_normal({})
    in_knock = np.arange(round(WINDOW_S * RATE_HZ)) % (RATE_HZ // 4) < 0.01 * RATE_HZ
    envelope = np.where(in_knock, 3.0, 1.0)
    shaped = [noise(80 + i) * envelope / np.sqrt((envelope**2).mean()) for i in range(3)]
    result = compare_with(normal, shaped)
    assert result.deviations
    assert all(deviation.kind is Kind.PEAKS for deviation in result.deviations)


def test_the_time_of_a_tone_is_found() -> None:
    normal = make_normal({})
    sound = noise(3, seconds=30)
    sound[12 * RATE_HZ : 21 * RATE_HZ] += tone(1000, 0.01, seconds=9)
    frames = BandFrames.of(sound.astype(np.float32), RATE_HZ)
    result = compare([frames.part(13, 15), frames.part(15, 17)], normal)
    ((from_s, to_s),) = deviating_times(frames, normal, result.deviations[0])
    assert from_s == pytest.approx(12, abs=0.3)
    assert to_s == pytest.approx(21, abs=0.3)


def test_a_sound_without_deviation_says_so() -> None:
    assert describe([], is_slight=False, duration_s=5, ongoing=True) == NO_BAND


def test_an_event_that_lasts_says_so_far() -> None:
    deviation = Deviation(Kind.LOUDER, 900, 1010, 950, 6.2)
    text = describe([deviation], is_slight=True, duration_s=40.2, ongoing=True)
    assert text == "slightly louder at 950 Hz, by 6 dB, for 40 s so far"


@pytest.mark.parametrize(
    ("frequency_hz", "text"),
    [(62.5, "60 Hz"), (253.9, "250 Hz"), (997, "1 kHz"), (1340, "1.3 kHz"), (7812, "7.8 kHz")],
)
def test_frequencies_are_rounded_to_what_is_known(frequency_hz: float, text: str) -> None:
    assert format_hz(frequency_hz) == text
