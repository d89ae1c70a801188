"""The quick-start detector on a synthetic machine sound: noise, a hum and a soft beat."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soxr
import torch

from asd_monitor import model_file
from asd_monitor.audio.files import RESAMPLE_QUALITY
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.backends.band_responses import response_bands
from asd_monitor.detection.voice_words import WORDS, describe_voice
from asd_monitor.errors import ConfigError
from asd_monitor.features import MEL_BANDS, FeatureGroups
from asd_monitor.progress import NoProgress
from asd_monitor.quickstart import Fitted, Recording, fit, fit_many, fitting
from asd_monitor.quickstart.gain_free import DB_PER_NEPER, LevelGate
from asd_monitor.quickstart.group_scores import append_floor_and_bands
from asd_monitor.quickstart.recording_check import findings_of
from asd_monitor.quickstart.training_windows import frame_recordings
from asd_monitor.quickstart.window_length import choose_window

RATE = 16000
RESPONSES = 4 * len(response_bands(MEL_BANDS))
"""Of two groups of features, in two directions."""
FloatArray = npt.NDArray[np.float32]


def machine(seed: int, seconds: float = 10.0, hum_hz: float = 300.0) -> FloatArray:
    """Return sound of one healthy machine; the seed represents the time of recording."""
    rng = np.random.default_rng([7, seed])
    time_s = np.arange(round(seconds * RATE)) / RATE
    spectrum = np.fft.rfft(rng.standard_normal(time_s.size))
    spectrum /= 1.0 + np.fft.rfftfreq(time_s.size, 1 / RATE) / 900.0
    noise = np.fft.irfft(spectrum, time_s.size)
    beat = 1.0 + 0.2 * np.sin(2 * np.pi * (3 * time_s + rng.uniform()))
    hum = 10 ** (rng.normal() / 20) * np.sin(2 * np.pi * hum_hz * time_s)
    sound = 0.05 * 10 ** (rng.normal() / 40) * (noise * beat + hum)
    return np.asarray(sound, dtype=np.float32)


def with_tone(sound: FloatArray, frequency_hz: float = 2500.0, share: float = 0.3) -> FloatArray:
    tone = np.sin(2 * np.pi * frequency_hz * np.arange(sound.size) / RATE)
    return np.asarray(sound + share * sound.std() * tone, dtype=np.float32)


def with_knocks(sound: FloatArray) -> FloatArray:
    knock = np.exp(-np.arange(400) / 60.0) * np.sin(np.arange(400) * 1.1)
    faulty = sound.copy()
    for start in range(700, sound.size - 400, 6000):
        faulty[start : start + 400] += (4 * sound.std() * knock).astype(np.float32)
    return faulty


def with_flutter(sound: FloatArray) -> FloatArray:
    flutter = 1.0 + 0.7 * np.sin(2 * np.pi * 24.0 * np.arange(sound.size) / RATE)
    return (sound * flutter).astype(np.float32)


def muffled(sound: FloatArray) -> FloatArray:
    spectrum = np.fft.rfft(sound)
    spectrum[np.fft.rfftfreq(sound.size, 1 / RATE) > 4000.0] *= 0.3
    return np.fft.irfft(spectrum, sound.size).astype(np.float32)


def normal_recordings(count: int = 12, hum_hz: float = 300.0) -> list[Recording]:
    return [Recording(f"normal_{i}", machine(i, hum_hz=hum_hz)) for i in range(count)]


def scores(fitted: Fitted, clips: Sequence[FloatArray], target: int = 0) -> npt.NDArray[np.float64]:
    length = fitted.manifest.window_samples
    windows = np.concatenate([clip_windows(clip, length, length) for clip in clips])
    targets = torch.full((len(windows),), target, dtype=torch.int64)
    with torch.no_grad():
        return np.asarray(fitted.module(torch.from_numpy(windows), targets).double().numpy())


def level_changes_db(fitted: Fitted, clips: Sequence[FloatArray]) -> npt.NDArray[np.float64]:
    length = fitted.manifest.window_samples
    windows = np.concatenate([clip_windows(clip, length, length) for clip in clips])
    targets = torch.zeros(len(windows), dtype=torch.int64)
    with torch.no_grad():
        return np.asarray(fitted.module.measure(torch.from_numpy(windows), targets)[:, -1].double())


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(normal_recordings(), target="pump")


@pytest.fixture(scope="module")
def new_clips() -> list[FloatArray]:
    return [machine(1000 + i) for i in range(12)]


@pytest.mark.parametrize("fault", [with_tone, with_knocks, with_flutter, muffled])
def test_clear_faults_score_above_normal_sound(
    fitted: Fitted, new_clips: list[FloatArray], fault: object
) -> None:
    assert callable(fault)
    normal, faulty = scores(fitted, new_clips), scores(fitted, [fault(clip) for clip in new_clips])
    assert np.mean(faulty[:, None] > normal) > 0.99


def voices(fitted: Fitted, clips: Sequence[FloatArray], target: int = 0) -> torch.Tensor:
    length = fitted.manifest.window_samples
    windows = np.concatenate([clip_windows(clip, length, length) for clip in clips])
    targets = torch.full((len(windows),), target, dtype=torch.int64)
    with torch.no_grad():
        found = fitted.module.voices(torch.from_numpy(windows), targets)
    assert isinstance(found, torch.Tensor)
    return found


@pytest.fixture(scope="module")
def fitted_to_five_minutes() -> Fitted:
    return fit(normal_recordings(27), target="pump", window_s=2.0)


def test_filters_of_all_groups_and_responses_are_voices_with_five_minutes_and_one_with_less(
    fitted: Fitted, fitted_to_five_minutes: Fitted, new_clips: list[FloatArray]
) -> None:
    for one, count, responses in (
        (fitted, 18 + 1, 0),
        (fitted_to_five_minutes, 18 + 8, RESPONSES),
    ):
        statistics = one.manifest.voices["pump"]
        assert statistics.combined == count
        assert len(statistics.names) == count + responses
        assert voices(one, new_clips[:1]).shape[1] == 1 + len(statistics.names)
    assert fitted.manifest.voices["pump"].names[-1] == "floor in bands"
    assert "spectrum in bands" in fitted_to_five_minutes.manifest.voices["pump"].names


def floor_db(sound: FloatArray) -> npt.NDArray[np.float64]:
    groups = FeatureGroups(RATE, 2 * RATE)
    windows = torch.from_numpy(clip_windows(sound, 2 * RATE, 2 * RATE).copy())
    power, log_mel, fast_power = groups.frames(windows)
    features = append_floor_and_bands(
        groups.from_frames(power, log_mel, fast_power), log_mel, groups.mel
    )
    return np.asarray(DB_PER_NEPER * features[-2].double().mean(0))


def test_knocks_do_not_change_the_floor_of_the_spectrum_and_faint_noise_does() -> None:
    sound = machine(0)
    noise = np.fft.rfft(np.random.default_rng(1).standard_normal(sound.size))
    noise[np.fft.rfftfreq(sound.size, 1 / RATE) < 4000.0] = 0.0
    hiss = np.fft.irfft(noise, sound.size)
    leaking = (sound + 0.15 * sound.std() * hiss / hiss.std()).astype(np.float32)
    assert np.abs(floor_db(with_knocks(sound)) - floor_db(sound)).max() < 1.0
    assert np.max(floor_db(leaking) - floor_db(sound)) > 3.0
    assert floor_db(2 * sound) == pytest.approx(floor_db(sound), abs=1e-3)


def test_a_matched_filter_rises_more_for_a_faint_tone_than_the_distance_of_spectra(
    fitted_to_five_minutes: Fitted, new_clips: list[FloatArray]
) -> None:
    statistics = fitted_to_five_minutes.manifest.voices["pump"]
    faulty = voices(fitted_to_five_minutes, [with_tone(clip, share=0.06) for clip in new_clips])
    normal = voices(fitted_to_five_minutes, new_clips)
    rise = (faulty - normal)[:, 1:].double().mean(0).numpy() / statistics.scale
    rises = dict(zip(statistics.names, rise, strict=True))
    assert rises["spectrum in bands"] > 1.5 * rises["spectrum"] > 0.0


def test_a_faint_tone_raises_the_response_of_its_band_more_than_any_score(
    fitted_to_five_minutes: Fitted, new_clips: list[FloatArray]
) -> None:
    statistics = fitted_to_five_minutes.manifest.voices["pump"]
    faulty = voices(fitted_to_five_minutes, [with_tone(clip, share=0.03) for clip in new_clips])
    means = faulty[:, 1:].double().mean(0).numpy()
    deviations = (means - statistics.centre) / statistics.scale
    assert statistics.combined is not None
    assert int(np.argmax(deviations)) >= statistics.combined
    name = statistics.names[int(np.argmax(deviations))]
    assert re.search(r" Hz, higher$", name), name


def test_every_voice_has_words_for_the_reason(fitted_to_five_minutes: Fitted) -> None:
    for name in fitted_to_five_minutes.manifest.voices["pump"].tested_names:
        assert describe_voice(name) in WORDS.values(), name


def test_floor_and_matched_filters_are_not_part_of_the_score(
    fitted_to_five_minutes: Fitted, new_clips: list[FloatArray]
) -> None:
    fused = fitted_to_five_minutes.module.scores.fusions
    assert [len(fusion.centre) for fusion in fused] == [16]


def test_machines_share_their_voices_where_one_has_little_sound(
    new_clips: list[FloatArray],
) -> None:
    both = fit_many(
        {"pump": normal_recordings(27), "fan": normal_recordings(5, 500.0)}, window_s=2.0
    )
    assert {len(one.names) for one in both.manifest.voices.values()} == {19}
    assert {one.combined for one in both.manifest.voices.values()} == {19}
    assert voices(both, new_clips[:1], 1).shape[1] == 20


@pytest.mark.parametrize("fault", [with_tone, with_knocks, with_flutter, muffled])
def test_clear_faults_exceed_the_threshold_in_the_file(
    fitted: Fitted, new_clips: list[FloatArray], fault: object
) -> None:
    assert callable(fault)
    faulty = scores(fitted, [fault(clip) for clip in new_clips])
    assert np.mean(faulty > fitted.manifest.thresholds["pump"].value) > 0.9


def test_p_values_of_new_normal_sound_are_about_uniform() -> None:
    p_values = []
    for seed in range(3):
        recordings = [Recording(str(i), machine(5000 + 100 * seed + i, 4.0)) for i in range(20)]
        one = fit(recordings, target="pump")
        calibration = one.manifest.calibrations["pump"]
        values = scores(one, [machine(9000 + 100 * seed + i, 2.0) for i in range(60)])
        p_values += [calibration.p_value(float(value))[0] for value in values]
    assert 0.02 < np.mean(np.array(p_values) < 0.1) < 0.22
    assert 0.3 < np.mean(np.array(p_values) < 0.5) < 0.7


def test_calibration_counts_only_windows_that_do_not_overlap(fitted: Fitted) -> None:
    assert fitted.manifest.window_samples == 2 * RATE
    assert fitted.manifest.calibrations["pump"].count == 12 * 5


def test_each_recording_of_ten_seconds_has_one_level_in_the_normal_range(fitted: Fitted) -> None:
    calibration = fitted.manifest.calibrations["pump"]
    assert calibration.normal_range is not None
    assert (calibration.normal_range.segments, calibration.normal_range.rank) == (12, 1)
    assert calibration.normal_range.level < calibration.threshold(1e-3)


def test_the_levels_of_the_learned_windows_are_kept(fitted: Fitted) -> None:
    sound = np.stack([recording.samples for recording in normal_recordings()])
    windows = sound.reshape(-1, 2 * RATE).astype(np.float64)
    windows_dbfs = 10 * np.log10(windows.var(axis=1))
    levels = fitted.manifest.levels["pump"]
    assert levels.quietest_dbfs == pytest.approx(windows_dbfs.min(), abs=0.5)
    assert levels.loudest_dbfs == pytest.approx(windows_dbfs.max(), abs=0.5)


def test_the_saved_file_scores_as_the_fitted_module_does(
    fitted: Fitted, new_clips: list[FloatArray], tmp_path: Path
) -> None:
    path = tmp_path / "pump.asd"
    model_file.save(path, fitted.module, fitted.manifest)
    model = model_file.load(path, device="cpu")
    windows = np.stack([clip[: fitted.manifest.window_samples] for clip in new_clips])
    targets = np.zeros(len(windows), np.int64)
    expected = fitted.module(torch.from_numpy(windows), torch.from_numpy(targets))
    np.testing.assert_allclose(
        model.score(windows, targets), expected.detach().numpy(), rtol=1e-6, atol=1e-6
    )
    assert model.manifest.to_dict() == fitted.manifest.to_dict()
    assert path.stat().st_size < 20e6


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_a_conversion_of_the_sample_rate_shifts_scores_by_less_than_a_hundredth_of_their_spread(
    fitted: Fitted, new_clips: list[FloatArray], rate_hz: int
) -> None:
    captured = [sampled_at(clip, rate_hz) for clip in new_clips]
    converted = [soxr.resample(clip, rate_hz, RATE, RESAMPLE_QUALITY) for clip in captured]
    expected, found = scores(fitted, new_clips), scores(fitted, converted)
    assert abs(np.mean(found - expected)) < 0.01 * expected.std()
    assert np.abs(found - expected).max() < 0.05 * expected.std()


def sampled_at(sound: FloatArray, rate_hz: int) -> FloatArray:
    """Return the same sound at a higher sample rate."""
    spectrum, size = np.fft.rfft(sound), sound.size * rate_hz // RATE
    return (np.fft.irfft(spectrum, size) * (size / sound.size)).astype(np.float32)


@pytest.mark.parametrize("size", [2, 3, 9])
def test_a_window_scores_the_same_in_any_batch(
    fitted: Fitted, new_clips: list[FloatArray], size: int
) -> None:
    windows = torch.from_numpy(np.stack([clip[: 2 * RATE] for clip in new_clips[:size]]))
    target = torch.zeros(size, dtype=torch.int64)
    with torch.no_grad():
        batched = fitted.module(windows, target)
        single = torch.cat([fitted.module(row[None], target[:1]) for row in windows])
    torch.testing.assert_close(batched, single, rtol=1e-5, atol=1e-5)


def test_an_empty_batch_gives_no_scores(fitted: Fitted) -> None:
    result = fitted.module(torch.zeros(0, 2 * RATE), torch.zeros(0, dtype=torch.int64))
    assert result.shape == (0,)


def with_clanks(sound: FloatArray, seed: int) -> FloatArray:
    """Add occasional loud impacts from nearby, which are normal here."""
    rng = np.random.default_rng([11, seed])
    noisy = sound.copy()
    for start in rng.integers(0, sound.size - 4000, 3):
        time = np.arange(4000)
        clank = np.exp(-time / 900.0) * np.sin(time * rng.uniform(0.3, 2.5))
        noisy[start : start + 4000] += (rng.uniform(2.0, 20.0) * sound.std() * clank).astype(
            np.float32
        )
    return noisy


def test_a_faint_hiss_is_detected_among_loud_clanks_that_are_normal() -> None:
    hiss = np.diff(np.random.default_rng(3).standard_normal(10 * RATE + 1)).astype(np.float32)
    normal = [Recording(str(i), with_clanks(machine(i), i)) for i in range(12)]
    clips = [with_clanks(machine(1000 + i), 1000 + i) for i in range(8)]
    fitted = fit(normal, target="pump")
    faulty = [clip + 0.005 * hiss for clip in clips]
    assert np.mean(scores(fitted, faulty)[:, None] > scores(fitted, clips)) > 0.9


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_silence_and_constant_input_get_finite_high_scores(fitted: Fitted, value: float) -> None:
    window = np.full(2 * RATE, value, np.float32)
    window_scores = scores(fitted, [window])
    assert np.isfinite(window_scores).all()
    assert window_scores[0] > fitted.manifest.thresholds["pump"].value


def test_fitting_twice_gives_the_same_detector(new_clips: list[FloatArray]) -> None:
    first, second = (fit(normal_recordings(6), target="pump") for _ in range(2))
    np.testing.assert_array_equal(scores(first, new_clips), scores(second, new_clips))
    assert first.manifest.training["fingerprint"] == second.manifest.training["fingerprint"]


def test_each_target_is_compared_with_its_own_normal_sound() -> None:
    both = fit_many({"low": normal_recordings(6), "high": normal_recordings(6, hum_hz=1700.0)})
    assert both.manifest.targets == ("low", "high")
    low, high = [machine(1000)], [machine(1000, hum_hz=1700.0)]
    for target, same, other in ((0, low, high), (1, high, low)):
        name = both.manifest.targets[target]
        threshold = both.manifest.thresholds[name].value
        assert scores(both, same, target).max() < threshold < scores(both, other, target).min()
    mixed = torch.from_numpy(np.stack([low[0][: 2 * RATE], high[0][: 2 * RATE]]))
    with torch.no_grad():
        mixed_scores = both.module(mixed, torch.tensor([0, 1]))
    expected = [scores(both, low, 0)[0], scores(both, high, 1)[0]]
    np.testing.assert_allclose(mixed_scores.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_the_evidence_is_highest_in_the_band_of_a_tone(fitted: Fitted) -> None:
    sound = with_tone(machine(1000), 2500.0)[: 2 * RATE]
    target = torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        evidence = fitted.module.evidence(torch.from_numpy(sound)[None], target)
    bands_hz = fitted.manifest.description["evidence_bands_hz"]
    assert isinstance(bands_hz, list)
    assert evidence.shape[:2] == (1, len(bands_hz))
    assert torch.isfinite(evidence).all()
    strongest = int(evidence[0].mean(1).argmax())
    assert bands_hz[strongest] == pytest.approx(2500.0, rel=0.03)


def test_a_change_of_gain_is_measured_and_is_no_fault(
    fitted: Fitted, new_clips: list[FloatArray]
) -> None:
    threshold = fitted.manifest.thresholds["pump"].value
    before_db = level_changes_db(fitted, new_clips)
    for gain_db in (-6.0, 6.0):
        changed = [clip * np.float32(10 ** (gain_db / 20)) for clip in new_clips]
        assert np.mean(scores(fitted, changed) > threshold) < 0.1
        change_db = level_changes_db(fitted, changed) - before_db
        assert change_db == pytest.approx(gain_db, abs=0.05)


def test_a_part_of_the_sound_that_is_louder_is_no_change_of_gain(
    fitted: Fitted, new_clips: list[FloatArray]
) -> None:
    hum = 0.3 * np.sin(2 * np.pi * 120.0 * np.arange(len(new_clips[0])) / RATE)
    loud = [(clip + hum).astype(np.float32) for clip in new_clips]
    assert np.median(np.abs(level_changes_db(fitted, loud))) < 1.5
    assert np.mean(scores(fitted, loud) > fitted.manifest.thresholds["pump"].value) > 0.9


def test_a_machine_as_much_louder_as_the_gain_is_lower_has_a_high_score_of_the_level() -> None:
    gate = LevelGate(torch.zeros(4), torch.ones(4))
    usual, prominent = [0.0, 0.0], [4.0, 4.0]
    rows = torch.tensor([
        [*usual, *prominent, 0.0],
        [*usual, *prominent, -6.0],
        [*prominent, *usual, -6.0],
        [*prominent, *prominent, 0.0],
    ])  # fmt: skip
    found = gate(rows)[:, 0] / gate.unit
    assert found.tolist() == pytest.approx([0.0, 4.0, 0.0, 4.0])


def test_a_single_recording_of_half_a_minute_is_enough(new_clips: list[FloatArray]) -> None:
    one = fit([Recording("all", machine(1, 30.0))], target="pump")
    assert one.manifest.calibrations["pump"].count == 15
    clean, faulty = scores(one, new_clips), scores(one, [with_knocks(clip) for clip in new_clips])
    assert np.mean(faulty[:, None] > clean) > 0.95


def test_of_long_sound_a_fixed_number_of_windows_is_used_and_stated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound = [Recording("all", machine(1, 30.0))]
    monkeypatch.setattr(fitting, "MAX_BANK_WINDOWS", 10)
    monkeypatch.setattr(fitting, "MAX_CALIBRATION_WINDOWS", 12)
    some = fit(sound, target="pump", window_s=2.0).manifest
    assert some.calibrations["pump"].count == 12
    assert "learned from 12 of 15 windows" in findings_of(some)[0]
    monkeypatch.setattr(fitting, "MAX_CALIBRATION_WINDOWS", 15)
    assert not any("windows" in text for text in findings_of(fit(sound, target="pump").manifest))


def test_sound_that_repeats_exactly_gives_finite_scores() -> None:
    same = [Recording(str(i), machine(1)) for i in range(6)]
    fitted = fit(same, target="pump")
    assert np.isfinite(scores(fitted, [machine(1), machine(2)])).all()
    assert np.isfinite(fitted.manifest.thresholds["pump"].value)


def test_the_window_holds_two_cycles_of_the_machine() -> None:
    pulse = 0.1 + (np.arange(30 * RATE) % round(1.5 * RATE) < 0.3 * RATE)
    noise = np.random.default_rng(0).standard_normal(pulse.size)
    cyclic = [Recording("cyclic", (0.05 * pulse * noise).astype(np.float32))]
    choice = choose_window(cyclic, RATE)
    assert choice.cycle_s == pytest.approx(1.5, abs=0.05)
    assert choice.window_s == pytest.approx(3.0)
    assert "1.5" in choice.reason


def test_sound_without_a_cycle_gets_short_windows(fitted: Fitted) -> None:
    assert fitted.manifest.window_samples == 2 * RATE
    assert fitted.manifest.hop_samples == RATE
    assert "2 s" in str(fitted.manifest.description["window"])


def test_windows_close_in_time_are_excluded_as_neighbours() -> None:
    session = [Recording(str(i), machine(i), "day", 10.0 * i) for i in range(40)]
    windows = frame_recordings(session, 2 * RATE, RATE, RATE)
    excluded, start_s = windows.exclusion_mask(), windows.start_s
    distance_s = np.abs(start_s[:, None] - start_s)
    assert excluded[distance_s <= 30.0].all()
    assert not excluded[distance_s >= 40.0].any()


def test_every_window_is_held_out_once_together_with_its_block() -> None:
    windows = frame_recordings(normal_recordings(), 2 * RATE, RATE, RATE)
    folds = windows.folds()
    assert sorted(set(folds.tolist())) == list(range(12))
    for recording in range(12):
        assert len(set(folds[windows.session == recording].tolist())) == 1


class RecordedProgress(NoProgress):
    """Keeps the completed fractions."""

    def __init__(self) -> None:
        self.fractions: list[float] = []

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        self.fractions.append(done / total)


def test_progress_rises_to_one() -> None:
    progress = RecordedProgress()
    fit(normal_recordings(4), target="pump", progress=progress)
    assert progress.fractions == sorted(progress.fractions)
    assert progress.fractions[-1] == 1.0


@pytest.mark.parametrize(
    ("recordings", "found"),
    [
        ([], "found 0 s in 0 recordings"),
        ([Recording("short", machine(1, 12.0))], "found 12 s in 1 recordings"),
        ([Recording("muted", np.zeros(60 * RATE, np.float32))], "found 0 s"),
        ([Recording("stuck", np.full(60 * RATE, 0.2, np.float32))], "found 0 s"),
        ([Recording("broken", np.full(60 * RATE, np.nan, np.float32))], "found 0 s"),
    ],
)
def test_too_little_usable_sound_is_refused(recordings: list[Recording], found: str) -> None:
    with pytest.raises(ConfigError, match=f"pump: expected at least 20 s.*{found}"):
        fit(recordings, target="pump")


def test_a_window_that_the_recordings_cannot_fill_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 8 windows of 10 s, found 4"):
        fit(normal_recordings(4), target="pump", window_s=10.0)


def test_broken_recordings_are_not_learned_from(new_clips: list[FloatArray]) -> None:
    broken = [*normal_recordings(6), Recording("broken", np.full(10 * RATE, np.nan, np.float32))]
    intact, repaired = fit(normal_recordings(6), target="pump"), fit(broken, target="pump")
    np.testing.assert_array_equal(scores(intact, new_clips), scores(repaired, new_clips))
