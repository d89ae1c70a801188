"""A folder of unsorted recordings is the normal sound of one machine."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.audio.files import read_recording
from asd_monitor.errors import DatasetError
from asd_offline.datasets import NORMAL, open_dataset
from asd_offline.export.export import export
from asd_offline.models import MODELS
from asd_offline.replay import ReplaySettings, replay
from asd_offline.training.prepare import prepare
from asd_offline.training.run import train
from asd_offline.training.split_recordings import drop_short_clips, split_long_recordings
from tests.offline.dataset_layouts import touch
from tests.offline.small_sounds import CPU, RATE_HZ, FakeProgress, hum, request, small_recipe


def record(path: Path, seconds: float, seed: int = 0, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, hum(seed, 440.0, seconds=seconds), RATE_HZ, subtype)
    return path


def test_all_recordings_are_normal_sound_of_one_machine_with_a_note(tmp_path: Path) -> None:
    root = tmp_path / "recordings"
    touch(root, ["1.wav", "2.flac"])
    touch(root / "tuesday", ["1.wav"])
    touch(root / "monday" / "late", ["1.wav"])
    dataset = open_dataset(root)
    assert {(c.machine, c.section, c.split, c.label) for c in dataset.clips} == {
        ("recordings", "all", "train", NORMAL)
    }
    names = [clip.name for clip in dataset.clips]
    assert names == ["1.wav", "2.flac", "monday/late/1.wav", "tuesday/1.wav"]
    (note,) = dataset.notes
    assert "4 recordings, not sorted into normal/ and anomaly/" in note
    assert "normal sound of one machine called recordings, all of it for training" in note
    assert "(monday, tuesday)" in note


def test_the_machine_can_be_named(tmp_path: Path) -> None:
    touch(tmp_path / "x", ["1.wav"])
    assert open_dataset(tmp_path, machines=["Press-3"]).machines() == ("Press-3",)
    with pytest.raises(DatasetError, match="no clips of machine fan, press; there are"):
        open_dataset(tmp_path, machines=["press", "fan"])


@pytest.mark.parametrize(
    "name",
    ["faulty/1.wav", "with_anomalies/1.wav", "1_broken.wav", "bearing-defect.wav", "Failure.wav"],
)
def test_names_that_indicate_faults_are_refused(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "x", ["1.wav"])
    path = tmp_path / "x" / name
    touch(path.parent, [path.name])
    with pytest.raises(DatasetError, match=r"expected only normal sound, .* found .*wav"):
        open_dataset(tmp_path / "x")


def test_words_that_contain_a_fault_word_are_accepted(tmp_path: Path) -> None:
    touch(tmp_path / "x", ["default.wav", "assault.wav"])
    assert len(open_dataset(tmp_path / "x").clips) == 2


@pytest.mark.parametrize("folder", ["normal", "train"])
def test_a_normal_folder_alone_belongs_to_the_machine_of_its_parent(
    tmp_path: Path, folder: str
) -> None:
    touch(tmp_path / "press" / folder, ["1.wav"])
    (clip,) = open_dataset(tmp_path / "press" / folder).clips
    assert (clip.machine, clip.split) == ("press", "train")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("anomaly", "1.wav"),
        ("test", "1.wav"),
        ("train/test", "1.wav"),
        ("clips", "id_01_00000000.wav"),
        ("clips", "section_00_source_test_normal_0000_A.wav"),
        ("clips", "section_03_0000.wav"),
    ],
)
def test_test_clips_are_never_trained_on(tmp_path: Path, folder: str, name: str) -> None:
    touch(tmp_path / "set" / folder, [name])
    for root in (tmp_path / "set", tmp_path / "set" / folder):
        try:
            clips = open_dataset(root).clips
        except DatasetError:
            continue
        assert {clip.split for clip in clips} == {"test"}


def test_replay_of_unsorted_recordings_reports_that_nothing_is_labelled(tmp_path: Path) -> None:
    record(tmp_path / "1.wav", 2.0)
    with pytest.raises(DatasetError, match=r"expected labelled test recordings, found 1 normal"):
        replay(ReplaySettings(tmp_path, jobs=1))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_the_parts_of_a_recording_contain_all_of_its_sound(tmp_path: Path, subtype: str) -> None:
    path = record(tmp_path / "x" / "hour.wav", 64.3, subtype=subtype)
    clips = open_dataset(tmp_path / "x").clips
    parts, (note,) = split_long_recordings(clips, tmp_path / "parts", None)
    assert note == "x: few and long recordings, split into 6 clips of 10 s and more"
    assert [part.name for part in parts] == [f"hour.wav/{i:04d}.wav" for i in range(6)]
    joined = np.concatenate([read_recording(part.path, RATE_HZ) for part in parts])
    np.testing.assert_array_equal(joined, read_recording(path, RATE_HZ))
    before = [part.path.stat().st_mtime_ns for part in parts]
    again, _ = split_long_recordings(clips, tmp_path / "parts", None)
    assert again == parts
    assert [part.path.stat().st_mtime_ns for part in again] == before


def test_a_long_recording_gives_about_a_hundred_parts_of_whole_windows(
    tmp_path: Path,
) -> None:
    record(tmp_path / "x" / "1.wav", 500.0)
    record(tmp_path / "x" / "2.wav", 15.0)
    clips = open_dataset(tmp_path / "x").clips
    assert [len(split_long_recordings(clips, tmp_path / "parts", w)[0]) for w in (2.0, 20.0)] == [
        84,
        26,
    ]


def test_a_short_recording_does_not_determine_the_window(tmp_path: Path) -> None:
    for number in range(11):
        record(tmp_path / "x" / f"{number:02d}.wav", 0.4 if number == 10 else 12.0)
    clips = list(open_dataset(tmp_path / "x").clips)
    remaining, (note,) = drop_short_clips(clips, None)
    assert note == "left out, because shorter than 6 s: 1 of 11 (10.wav, 0.4 s)"
    assert remaining == clips[:10]
    assert drop_short_clips(clips, 0.3) == (clips, [])
    assert drop_short_clips(clips[6:], None) == (clips[6:], [])  # one of five is not dropped
    model, recipe = MODELS["autoencoder"], small_recipe()
    prepared = prepare(model, open_dataset(tmp_path / "x"), recipe, tmp_path / "cache")
    assert prepared.recipe.window_s == 12.0
    assert prepared.notes == (note,)


def test_many_recordings_challenge_clips_and_short_ones_are_not_split(tmp_path: Path) -> None:
    for number in range(8):
        record(tmp_path / "many" / f"{number}.wav", 25.0)
        record(tmp_path / "fan" / "train" / f"normal_id_00_{number:08d}.wav", 0.2)
    record(tmp_path / "fan" / "train" / "normal_id_02_00000000.wav", 25.0)
    record(tmp_path / "short" / "1.wav", 15.0)
    for name in ("many", "fan", "short"):
        clips = list(open_dataset(tmp_path / name).select(split="train"))
        assert split_long_recordings(clips, tmp_path / "parts", None) == (clips, [])


def test_an_unreadable_recording_is_reported(tmp_path: Path) -> None:
    path = record(tmp_path / "x" / "1.wav", 30.0)
    clips = open_dataset(tmp_path / "x").clips
    path.write_bytes(b"RIFF no sound")
    with pytest.raises(DatasetError, match=r"1\.wav: cannot be read as audio"):
        split_long_recordings(clips, tmp_path / "parts", None)


def test_an_afternoon_in_one_file_is_trained_on_and_exported(tmp_path: Path) -> None:
    record(tmp_path / "press" / "afternoon.wav", 61.0)
    run = train(request(tmp_path, tmp_path / "press"), CPU, progress := FakeProgress())
    assert any("one machine called press" in text for text in progress.messages)
    assert any("press: few and long recordings, split into 6" in t for t in progress.messages)
    assert run.metadata.targets == {"press": 4}
    assert run.metadata.held_out == {"press": 2}
    assert run.metadata.recipe["window_s"] == pytest.approx(61 / 6, abs=1e-3)
    for folder in (tmp_path / "cache" / "parts").iterdir():
        for part in folder.iterdir():
            part.unlink()
        folder.rmdir()  # the cache may be deleted at any time
    exported = export(run.folder, tmp_path / "press.asd", tmp_path / "cache")
    assert exported.manifest.targets == ("press",)
