"""Commissioning stores normal sound, fits a model to it, and reports its progress."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.errors import ConfigError
from asd_monitor.progress import Progress
from asd_monitor.quickstart import Recording
from asd_monitor.records import AudioChunk, FloatArray, LearningProgress, Rejection, Window
from asd_monitor.runtime.commissioning import (
    MAX_QUEUED_S,
    Commissioning,
    CommissioningResult,
    FittedModel,
)
from asd_monitor.runtime.recording_store import RecordingStore, next_name
from tests.rig.full_disk import max_file_size

RATE_HZ = 1000
CLIP = 10 * RATE_HZ


def noise(seconds: float, seed: int = 0) -> FloatArray:
    size = round(seconds * RATE_HZ)
    return (0.1 * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


class Rig:
    def __init__(
        self,
        folder: Path,
        required_s: float,
        *,
        fail: int = 0,
        slow: bool = False,
        extend_existing: bool = False,
    ) -> None:
        self.slow, self.fitting = slow, threading.Event()
        self.fits: list[list[Recording]] = []
        self.results: queue.Queue[CommissioningResult] = queue.Queue()
        self._fail = fail
        self._start = 0
        self.commissioning = Commissioning(
            "pump",
            RecordingStore("pump", folder, RATE_HZ, session="now"),
            required_s,
            fit=self._fit,
            on_result=self.results.put,
            extend_existing=extend_existing,
        )
        self.commissioning.start()

    def _fit(self, recordings: Sequence[Recording], progress: Progress) -> FittedModel:
        if self.slow:
            self.fitting.set()
            while True:
                progress.update("fit", 0.5, 1.0)
        self.fits.append(list(recordings))
        if len(self.fits) <= self._fail:
            raise ConfigError("too little sound")
        return FittedModel(Path("model.asd"))

    def push(self, samples: FloatArray, *, lost: int = 0, recording: str = "") -> None:
        self._start += lost
        for piece in np.array_split(samples, 7):
            self.commissioning.push(AudioChunk(piece, self._start, 0.0, recording, lost))
            self._start += len(piece)
            lost = 0

    def wait_for(self, condition: Callable[[LearningProgress], bool]) -> LearningProgress:
        """Return the first progress that meets a condition."""
        deadline_s = time.monotonic() + 240
        while not condition(progress := self.commissioning.progress()):
            assert time.monotonic() < deadline_s, progress
            time.sleep(0.005)
        return progress

    def result(self) -> CommissioningResult:
        return self.results.get(timeout=400)


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_enough_sound_becomes_recordings_and_a_model(tmp_path: Path) -> None:
    rig, sound = Rig(tmp_path, 20.0), noise(25)
    rig.push(sound)
    assert rig.result() == CommissioningResult("pump", FittedModel(Path("model.asd")))
    assert file_names(tmp_path) == ["normal_id_00_00000000.wav", "normal_id_00_00000001.wav"]
    read, rate_hz = soundfile.read(tmp_path / "normal_id_00_00000001.wav", dtype="float32")
    assert rate_hz == RATE_HZ
    np.testing.assert_allclose(read, sound[CLIP : 2 * CLIP], atol=2**-23)


def test_recordings_have_a_session_and_a_start_time(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 20.0)
    rig.push(noise(10))
    rig.push(noise(15, seed=1), lost=5 * RATE_HZ)
    rig.result()
    origins = [(recording.session, recording.start_s) for recording in rig.fits[0]]
    assert origins == [("now", 0.0), ("now", 15.0)]


def test_existing_recordings_count_as_collected(tmp_path: Path) -> None:
    first = Rig(tmp_path, 30.0)
    first.push(noise(15))
    first.commissioning.close()
    first.commissioning.join(400)
    assert file_names(tmp_path) == ["normal_id_00_00000000.wav"]
    second = Rig(tmp_path, 20.0)
    assert second.commissioning.progress().learned_s == 10.0
    second.push(noise(10, seed=1))
    assert second.result().model
    assert len(second.fits[0]) == 2
    assert file_names(tmp_path) == ["normal_id_00_00000000.wav", "normal_id_00_00000001.wav"]


def test_enough_existing_recordings_are_fitted_at_once(tmp_path: Path) -> None:
    first = Rig(tmp_path, 10.0)
    first.push(noise(10))
    first.result()
    again = Rig(tmp_path, 10.0)
    assert again.result().model


def test_relearning_collects_as_much_sound_again(tmp_path: Path) -> None:
    first = Rig(tmp_path, 10.0)
    first.push(noise(10))
    first.result()
    again = Rig(tmp_path, 10.0, extend_existing=True)
    assert again.commissioning.progress().required_s == 20.0
    again.push(noise(10, seed=1))
    again.result()
    assert len(again.fits[0]) == 2


def test_the_same_recordings_are_not_learned_from_twice(tmp_path: Path) -> None:
    first = Rig(tmp_path, 20.0)
    first.push(noise(20))
    first.result()
    again = Rig(tmp_path, 60.0, extend_existing=True)
    again.push(np.concatenate([noise(20), noise(10, seed=1)]))
    again.commissioning.finish()
    again.result()
    assert [recording.session for recording in again.fits[0]] == ["earlier", "earlier", "now"]
    assert len(file_names(tmp_path)) == 3


def test_a_loop_is_learned_from_once(tmp_path: Path) -> None:
    rig, sound = Rig(tmp_path, 3600.0), noise(30)
    for _ in range(3):
        rig.push(sound)
    assert rig.result().model
    assert len(rig.fits[0]) == 3


@pytest.mark.parametrize("bad", [np.zeros(CLIP, np.float32), np.full(CLIP, np.nan, np.float32)])
def test_unusable_sound_is_neither_stored_nor_learned_from(tmp_path: Path, bad: FloatArray) -> None:
    rig = Rig(tmp_path, 10.0)
    rig.push(bad)
    rig.push(noise(10))
    rig.result()
    assert len(rig.fits[0]) == 1
    assert file_names(tmp_path) == ["normal_id_00_00000000.wav"]


def test_quiet_sound_with_a_small_offset_is_learned_from(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 20.0)
    rig.push(0.01 * noise(20) + np.float32(0.005))
    rig.result()
    assert len(rig.fits[0]) == 2


def clipped(seed: int) -> FloatArray:
    return np.clip(10 * noise(10, seed), -1, 1).astype(np.float32)


def mains_hum(_: int) -> FloatArray:
    hum = np.round(0.05 * np.sin(2 * np.pi * 50 * np.arange(CLIP) / RATE_HZ) * 32768) / 32768
    return hum.astype(np.float32)


REJECTED = {
    Rejection.CLIPPED: (clipped, "reduce the gain"),
    Rejection.DC: (lambda seed: noise(10, seed) + np.float32(0.2), "a constant offset"),
    Rejection.QUIET: (lambda seed: 1e-4 * noise(10, seed), "increase its gain"),
    Rejection.SILENT: (lambda _: np.zeros(CLIP, np.float32), "muted or not connected"),
    Rejection.STUCK: (lambda _: np.full(CLIP, 0.5, np.float32), "stuck at one value"),
    Rejection.HUM: (mains_hum, "hum of the mains and no other sound"),
    Rejection.NON_FINITE: (lambda _: np.full(CLIP, np.nan, np.float32), "check the driver"),
}


@pytest.mark.parametrize("reason", REJECTED)
def test_rejected_sound_is_reported_with_its_reason_until_sound_is_learned_from(
    tmp_path: Path, reason: Rejection
) -> None:
    make, advice = REJECTED[reason]
    rig = Rig(tmp_path, 60.0)
    rig.push(make(0))
    progress = rig.wait_for(lambda progress: bool(progress.problem))
    assert advice in progress.problem
    assert progress.reason == progress.problem
    assert progress.rejected_s == {reason: 10.0}
    rig.push(noise(10))
    progress = rig.wait_for(lambda progress: not progress.problem)
    assert progress.reason == "collecting normal sound to learn from"
    assert progress.rejected_s == {reason: 10.0}
    rig.commissioning.close()


def test_progress_does_not_rise_and_fall_while_sound_is_rejected(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 60.0)
    rig.push(noise(10))
    rig.push(clipped(0))
    rig.wait_for(lambda progress: bool(progress.problem))
    learned_s = []
    for piece in np.array_split(clipped(1), 10):
        rig.push(piece)
        learned_s.append(rig.commissioning.progress().learned_s)
    assert learned_s == [10.0] * 10
    rig.commissioning.close()


def test_recordings_that_lost_audio_cuts_short_are_reported(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 60.0)
    rig.push(noise(4))
    rig.push(noise(3, seed=1), lost=RATE_HZ)
    progress = rig.commissioning.progress()
    assert "audio was lost" in progress.problem
    assert progress.rejected_s == {Rejection.LOST: 4.0}
    rig.commissioning.close()


def test_a_failed_fit_names_the_sound_that_was_rejected(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 60.0, fail=1)
    rig.push(clipped(0))
    rig.push(noise(10))
    rig.commissioning.finish()
    error = rig.result().error
    assert isinstance(error, ConfigError)
    assert "too little sound; not learned from: 10 s clipped" in str(error)
    assert "no model yet: too little sound" in rig.commissioning.progress().problem


def test_progress_grows_with_the_sound(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 20.0)
    rig.push(noise(5))
    progress = rig.commissioning.progress()
    assert (progress.learned_s, progress.required_s) == (5.0, 20.0)
    rig.commissioning.close()


def test_the_end_of_the_recordings_starts_the_fit(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 3600.0)
    rig.push(noise(20))
    rig.commissioning.finish()
    assert rig.result().model
    assert len(rig.fits[0]) == 2


def test_a_failed_fit_is_reported_and_repeated_with_more_sound(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 10.0, fail=1)
    rig.push(noise(10))
    failure = rig.result()
    assert failure.model is None
    assert str(failure.error) == "too little sound"
    rig.push(noise(60, seed=1))
    assert rig.result().model
    assert len(rig.fits[1]) == 7


def test_repeated_failures_of_the_fit_do_not_fill_the_memory(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 10.0, fail=14)
    for minute in range(15):
        rig.push(noise(61, seed=minute))
    for _ in range(14):
        assert rig.result().error
    rig.push(noise(61, seed=99))
    assert rig.result().model
    assert len(rig.fits[-1]) == 61


def test_a_full_disk_does_not_stop_learning(tmp_path: Path) -> None:
    missing = tmp_path / "file"
    missing.write_text("not a folder")
    rig = Rig(missing / "train", 10.0)
    rig.push(noise(10))
    assert rig.result().model
    assert len(rig.fits[0]) == 1


def test_a_recording_that_cannot_be_written_leaves_no_partial_file(tmp_path: Path) -> None:
    store = RecordingStore("pump", tmp_path, RATE_HZ, session="now")
    with max_file_size(1000):
        assert store.add(Window("pump", noise(10), 0, 0.0))
    assert store.duration_s == 10.0
    assert not list(tmp_path.iterdir())


def test_hours_of_sound_stay_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd_monitor.runtime.recording_store.MAX_IN_MEMORY_SAMPLES", 10 * RATE_HZ)
    sound = noise(30)
    rig = Rig(tmp_path, 30.0)
    rig.push(sound)
    rig.result()
    again = Rig(tmp_path, 30.0)
    again.result()
    for recordings in (rig.fits[0], again.fits[0]):
        in_memory = [isinstance(recording.samples, np.ndarray) for recording in recordings]
        assert in_memory == [True, False, False]
        samples = np.concatenate([np.asarray(recording.samples) for recording in recordings])
        np.testing.assert_allclose(samples, sound, atol=2**-23)


def test_a_recording_that_cannot_be_read_again_is_learned_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_monitor.runtime.recording_store.MAX_IN_MEMORY_SAMPLES", 0)
    monkeypatch.setattr(
        "asd_monitor.runtime.recording_store.write_durably",
        lambda path, _content, **_: path.write_bytes(b"damaged"),
    )
    rig = Rig(tmp_path, 10.0)
    rig.push(noise(10))
    assert rig.result() == CommissioningResult("pump", FittedModel(Path("model.asd")))


def test_file_numbers_continue_after_the_highest(tmp_path: Path) -> None:
    for name in ("normal_id_00_00000007.wav", "normal_id_00_00000002.wav", "other.wav"):
        (tmp_path / name).write_bytes(b"")
    assert next_name(tmp_path) == "normal_id_00_00000008.wav"


def test_recordings_shorter_than_a_clip_are_used_whole(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 3600.0)
    for index in range(4):
        rig.push(noise(5, seed=index), recording=f"{index}.wav")
    rig.commissioning.finish()
    rig.result()
    assert [len(recording.samples) for recording in rig.fits[0]] == [5 * RATE_HZ] * 4
    np.testing.assert_array_equal(rig.fits[0][3].samples, noise(5, seed=3))
    sessions = [recording.session for recording in rig.fits[0]]
    assert sessions == ["0.wav", "1.wav", "2.wav", "3.wav"]


@pytest.mark.parametrize(
    ("seconds", "lengths"), [(1.9, []), (2, [2]), (14, [10]), (15, [10, 5]), (20, [10, 10])]
)
def test_the_remainder_of_a_recording_is_used_if_it_is_long_enough(
    tmp_path: Path, seconds: float, lengths: list[float]
) -> None:
    rig = Rig(tmp_path, 3600.0)
    rig.push(noise(seconds), recording="a.wav")
    rig.push(noise(10, seed=1), recording="b.wav")
    rig.commissioning.finish()
    rig.result()
    from_first_file = [recording for recording in rig.fits[0] if recording.session == "a.wav"]
    assert [len(recording.samples) / RATE_HZ for recording in from_first_file] == lengths


def test_closing_aborts_a_fit(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 10.0, slow=True)
    rig.push(noise(10))
    assert rig.fitting.wait(400)
    rig.commissioning.close()
    rig.commissioning.join(400)
    assert "learn-pump" not in [thread.name for thread in threading.enumerate()]
    assert rig.results.empty()
    assert file_names(tmp_path) == ["normal_id_00_00000000.wav"]


def test_recordings_are_read_no_faster_than_they_are_stored(tmp_path: Path) -> None:
    """Otherwise recordings of hours would be in memory as a whole."""
    store = RecordingStore("pump", tmp_path, RATE_HZ, session="now")
    has_room = threading.Event()

    def fit(_recordings: Sequence[Recording], _progress: Progress) -> FittedModel:
        return FittedModel(Path("model.asd"))

    commissioning = Commissioning(
        "pump", store, 3600.0, fit=fit, on_result=print, on_room=has_room.set
    )
    pushed_s = 0
    while commissioning.needs_more():
        chunk = AudioChunk(noise(10, seed=pushed_s), pushed_s * RATE_HZ, 0.0)
        commissioning.push(chunk)
        pushed_s += 10
    assert pushed_s == MAX_QUEUED_S
    commissioning.start()
    assert has_room.wait(60)
    assert commissioning.needs_more()
    commissioning.close()
    commissioning.join(60)
