"""Commissioning keeps what it hears, learns from it, and says how far it has come."""

import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.errors import ConfigError
from asd_monitor.quickstart import Recording
from asd_monitor.records import AudioChunk, FloatArray
from asd_monitor.runtime.commissioning import Commissioned, Commissioning, next_name

RATE_HZ = 1000
CLIP = 10 * RATE_HZ


def noise(seconds: float, seed: int = 0) -> FloatArray:
    size = round(seconds * RATE_HZ)
    return (0.1 * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


class Rig:
    def __init__(
        self,
        folder: Path,
        wanted_s: float,
        *,
        fail: int = 0,
        slow: bool = False,
        anew: bool = False,
    ) -> None:
        self.slow, self.fitting = slow, threading.Event()
        self.fits: list[list[Recording]] = []
        self.results: queue.Queue[Commissioned] = queue.Queue()
        self._fail = fail
        self._start = 0
        self.learning = Commissioning(
            "pump",
            folder,
            RATE_HZ,
            wanted_s,
            fit=self._fit,
            done=self.results.put,
            session="now",
            anew=anew,
        )
        self.learning.start()

    def _fit(self, recordings: Sequence[Recording], progress: Callable[[float], None]) -> Path:
        if self.slow:
            self.fitting.set()
            while True:
                progress(0.5)
        self.fits.append(list(recordings))
        if len(self.fits) <= self._fail:
            raise ConfigError("too little sound")
        return Path("model.asd")

    def hear(self, samples: FloatArray, *, lost: int = 0, recording: str = "") -> None:
        self._start += lost
        for piece in np.array_split(samples, 7):
            self.learning.push(AudioChunk(piece, self._start, 0.0, recording, lost))
            self._start += len(piece)
            lost = 0

    def result(self) -> Commissioned:
        return self.results.get(timeout=20)


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_enough_sound_becomes_recordings_and_a_model(tmp_path: Path) -> None:
    rig, sound = Rig(tmp_path, 20.0), noise(25)
    rig.hear(sound)
    assert rig.result() == Commissioned("pump", Path("model.asd"))
    assert kept(tmp_path) == ["normal_id_00_00000000.wav", "normal_id_00_00000001.wav"]
    read, rate_hz = soundfile.read(tmp_path / "normal_id_00_00000001.wav", dtype="float32")
    assert rate_hz == RATE_HZ
    np.testing.assert_allclose(read, sound[CLIP : 2 * CLIP], atol=2**-23)


def test_recordings_know_their_place_in_time(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 20.0)
    rig.hear(noise(10))
    rig.hear(noise(15, seed=1), lost=5 * RATE_HZ)
    rig.result()
    assert [(each.session, each.start_s) for each in rig.fits[0]] == [("now", 0.0), ("now", 15.0)]


def test_recordings_from_before_count(tmp_path: Path) -> None:
    first = Rig(tmp_path, 30.0)
    first.hear(noise(15))
    first.learning.close()
    first.learning.join(20)
    assert kept(tmp_path) == ["normal_id_00_00000000.wav"]
    second = Rig(tmp_path, 20.0)
    assert second.learning.progress().learned_s == 10.0
    second.hear(noise(10, seed=1))
    assert second.result().model_path
    assert len(second.fits[0]) == 2
    assert kept(tmp_path) == ["normal_id_00_00000000.wav", "normal_id_00_00000001.wav"]


def test_enough_recordings_from_before_are_fitted_at_once(tmp_path: Path) -> None:
    first = Rig(tmp_path, 10.0)
    first.hear(noise(10))
    first.result()
    again = Rig(tmp_path, 10.0)
    assert again.result().model_path


def test_learning_anew_hears_as_much_again(tmp_path: Path) -> None:
    first = Rig(tmp_path, 10.0)
    first.hear(noise(10))
    first.result()
    again = Rig(tmp_path, 10.0, anew=True)
    assert again.learning.progress().wanted_s == 20.0
    again.hear(noise(10, seed=1))
    again.result()
    assert len(again.fits[0]) == 2


def test_the_same_recordings_are_not_learned_twice(tmp_path: Path) -> None:
    first = Rig(tmp_path, 20.0)
    first.hear(noise(20))
    first.result()
    again = Rig(tmp_path, 60.0, anew=True)
    again.hear(np.concatenate([noise(20), noise(10, seed=1)]))
    again.learning.finish()
    again.result()
    assert [each.session for each in again.fits[0]] == ["kept", "kept", "now"]
    assert len(kept(tmp_path)) == 3


def test_a_loop_is_learned_once_round(tmp_path: Path) -> None:
    rig, sound = Rig(tmp_path, 3600.0), noise(30)
    for _ in range(3):
        rig.hear(sound)
    assert rig.result().model_path
    assert len(rig.fits[0]) == 3


@pytest.mark.parametrize("bad", [np.zeros(CLIP, np.float32), np.full(CLIP, np.nan, np.float32)])
def test_unusable_sound_is_neither_kept_nor_learned_from(tmp_path: Path, bad: FloatArray) -> None:
    rig = Rig(tmp_path, 10.0)
    rig.hear(bad)
    rig.hear(noise(10))
    rig.result()
    assert len(rig.fits[0]) == 1
    assert kept(tmp_path) == ["normal_id_00_00000000.wav"]


def test_progress_grows_with_the_sound(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 20.0)
    rig.hear(noise(5))
    progress = rig.learning.progress()
    assert (progress.learned_s, progress.wanted_s) == (5.0, 20.0)
    rig.learning.close()


def test_the_end_of_the_recordings_fits_what_there_is(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 3600.0)
    rig.hear(noise(20))
    rig.learning.finish()
    assert rig.result().model_path
    assert len(rig.fits[0]) == 2


def test_a_failed_fit_is_told_and_tried_again_with_more_sound(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 10.0, fail=1)
    rig.hear(noise(10))
    failure = rig.result()
    assert failure.model_path is None
    assert str(failure.error) == "too little sound"
    rig.hear(noise(60, seed=1))
    assert rig.result().model_path
    assert len(rig.fits[1]) == 7


def test_a_fit_that_keeps_failing_does_not_fill_the_memory(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 10.0, fail=14)
    for minute in range(15):
        rig.hear(noise(61, seed=minute))
    for _ in range(14):
        assert rig.result().error
    rig.hear(noise(61, seed=99))
    assert rig.result().model_path
    assert len(rig.fits[-1]) == 61


def test_a_full_disk_does_not_stop_learning(tmp_path: Path) -> None:
    missing = tmp_path / "file"
    missing.write_text("not a folder")
    rig = Rig(missing / "train", 10.0)
    rig.hear(noise(10))
    assert rig.result().model_path
    assert len(rig.fits[0]) == 1


def test_hours_of_sound_stay_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd_monitor.runtime.commissioning.IN_MEMORY_S", 10.0)
    sound = noise(30)
    rig = Rig(tmp_path, 30.0)
    rig.hear(sound)
    rig.result()
    again = Rig(tmp_path, 30.0)
    again.result()
    for recordings in (rig.fits[0], again.fits[0]):
        in_memory = [isinstance(each.samples, np.ndarray) for each in recordings]
        assert in_memory == [True, False, False]
        heard = np.concatenate([np.asarray(each.samples) for each in recordings])
        np.testing.assert_allclose(heard, sound, atol=2**-23)


def test_a_recording_that_cannot_be_read_again_is_learned_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_monitor.runtime.commissioning.IN_MEMORY_S", 0.0)
    monkeypatch.setattr(
        "asd_monitor.runtime.commissioning._write_whole",
        lambda path, _content: path.write_bytes(b"worn out"),
    )
    rig = Rig(tmp_path, 10.0)
    rig.hear(noise(10))
    assert rig.result() == Commissioned("pump", Path("model.asd"))


def test_numbers_go_on_after_the_highest(tmp_path: Path) -> None:
    for name in ("normal_id_00_00000007.wav", "normal_id_00_00000002.wav", "other.wav"):
        (tmp_path / name).write_bytes(b"")
    assert next_name(tmp_path) == "normal_id_00_00000008.wav"


def test_recordings_shorter_than_a_clip_are_learned_from_whole(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 3600.0)
    for index in range(4):
        rig.hear(noise(5, seed=index), recording=f"{index}.wav")
    rig.learning.finish()
    rig.result()
    assert [len(each.samples) for each in rig.fits[0]] == [5 * RATE_HZ] * 4
    np.testing.assert_array_equal(rig.fits[0][3].samples, noise(5, seed=3))
    assert [each.session for each in rig.fits[0]] == ["0.wav", "1.wav", "2.wav", "3.wav"]


@pytest.mark.parametrize(
    ("seconds", "lengths"), [(1.9, []), (2, [2]), (14, [10]), (15, [10, 5]), (20, [10, 10])]
)
def test_the_rest_of_a_recording_counts_if_it_is_long_enough(
    tmp_path: Path, seconds: float, lengths: list[float]
) -> None:
    rig = Rig(tmp_path, 3600.0)
    rig.hear(noise(seconds), recording="a.wav")
    rig.hear(noise(10, seed=1), recording="b.wav")
    rig.learning.finish()
    rig.result()
    found = [len(each.samples) / RATE_HZ for each in rig.fits[0] if each.session == "a.wav"]
    assert found == lengths


def test_stopping_gives_up_a_fit(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 10.0, slow=True)
    rig.hear(noise(10))
    assert rig.fitting.wait(20)
    rig.learning.close()
    rig.learning.join(20)
    assert not [each for each in threading.enumerate() if each.name == "learn-pump"]
    assert rig.results.empty()
    assert kept(tmp_path) == ["normal_id_00_00000000.wav"]
