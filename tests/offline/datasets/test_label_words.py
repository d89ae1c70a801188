"""Words for normal and anomalous sound are understood alike in every layout."""

from pathlib import Path

import pytest

from asd_monitor.audio.label_words import find_labels, parse_folder
from asd_monitor.errors import DatasetError
from asd_offline.datasets import ANOMALY, NORMAL, open_dataset
from asd_offline.synth.real_recordings import find_recordings
from tests.offline.dataset_layouts import touch

CLIPS = [f"{index}.wav" for index in range(6)]
PAIRS = [
    ("OK", "NG"),
    ("good", "broken"),
    ("healthy", "leak"),
    ("normal", "anomalies"),
    ("Normal", "Abnormal"),
    ("no_fault", "faulty"),
    ("not_defective", "not ok"),
    ("NormalSound_IND", "AnomalousSound_IND"),
]


@pytest.mark.parametrize(("normal", "anomaly"), PAIRS)
def test_folders_named_by_any_label_word_are_labels_and_no_machines(
    tmp_path: Path, normal: str, anomaly: str
) -> None:
    touch(tmp_path / "press" / "train" / normal, CLIPS)
    touch(tmp_path / "press" / "test" / normal, CLIPS)
    touch(tmp_path / "press" / "test" / anomaly, CLIPS)
    dataset = open_dataset(tmp_path)
    assert dataset.machines() == ("press",)
    assert {clip.label for clip in dataset.select(split="train")} == {NORMAL}
    assert [clip.label for clip in dataset.select(split="test")].count(ANOMALY) == len(CLIPS)


@pytest.mark.parametrize(("normal", "anomaly"), PAIRS)
def test_label_folders_without_a_split_are_read(tmp_path: Path, normal: str, anomaly: str) -> None:
    touch(tmp_path / "press" / normal, CLIPS)
    touch(tmp_path / "press" / anomaly, CLIPS)
    dataset = open_dataset(tmp_path)
    assert dataset.machines() == ("press",)
    assert all(clip.path.parent.name == normal for clip in dataset.select(split="train"))
    assert {clip.label for clip in dataset.clips} == {NORMAL, ANOMALY}


@pytest.mark.parametrize(
    "path",
    [
        *(f"train/{anomaly}/7.wav" for _, anomaly in PAIRS),
        "train/anomalous/7.wav",
        "train/anomaly_7.wav",
        "train/broken 7.wav",
        "train/7-NG.wav",
        "train/normal/leak_7.wav",
        "press/train/Faulty7.wav",
        "normal/defective_7.wav",
    ],
)
def test_anomalies_among_training_recordings_are_refused_by_name(tmp_path: Path, path: str) -> None:
    touch(tmp_path / "train" / "normal", CLIPS)
    touch((tmp_path / path).parent, [Path(path).name])
    with pytest.raises(DatasetError) as caught:
        open_dataset(tmp_path)
    assert path in str(caught.value)
    assert "CSV list with a row path,label" in str(caught.value)


@pytest.mark.parametrize(
    "folder",
    [
        "train/bearing_fault",
        "leaky_pump/train",
        "test/pump_ok",
        "test/pump_ng",
        "normal/wheel_worn",
    ],
)
def test_a_folder_that_may_be_a_machine_or_a_label_is_refused(tmp_path: Path, folder: str) -> None:
    touch(tmp_path / "train" / "normal", CLIPS)
    touch(tmp_path / folder, ["7.wav"])
    with pytest.raises(DatasetError, match=f"may be either: {folder}; .*CSV list"):
        open_dataset(tmp_path)


def test_a_machine_with_a_label_word_in_its_name_is_accepted_where_labels_are_folders(
    tmp_path: Path,
) -> None:
    touch(tmp_path / "leak_tester" / "normal", CLIPS)
    touch(tmp_path / "leak_tester" / "anomaly", CLIPS)
    assert open_dataset(tmp_path).machines() == ("leak_tester",)


def test_file_names_label_test_recordings_with_a_note(tmp_path: Path) -> None:
    touch(tmp_path / "train", CLIPS)
    touch(tmp_path / "test", ["normal_1.wav", "anomaly_1.wav", "1.wav", "ok_then_broken.wav"])
    dataset = open_dataset(tmp_path)
    labels = {clip.path.name: clip.label for clip in dataset.select(split="test")}
    assert labels == {
        "normal_1.wav": NORMAL,
        "anomaly_1.wav": ANOMALY,
        "1.wav": None,
        "ok_then_broken.wav": None,
    }
    assert dataset.notes == ("the labels of 2 test recordings are those in their file names",)


@pytest.mark.parametrize("folder", ["val", "valid", "Validation"])
def test_a_validation_split_is_neither_trained_on_nor_tested(tmp_path: Path, folder: str) -> None:
    for split in ("train", "test", folder):
        touch(tmp_path / split / "normal", CLIPS)
    dataset = open_dataset(tmp_path)
    assert len(dataset.clips) == 2 * len(CLIPS)
    assert dataset.machines() == (tmp_path.name,)
    assert dataset.notes == (f"not used: {len(CLIPS)} recordings of the validation split",)


@pytest.mark.parametrize("name", ["NG", "broken", "leak_1"])
def test_only_sorted_anomalies_do_not_make_the_others_normal(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "x", CLIPS)
    touch(tmp_path / "x" / name, CLIPS)
    with pytest.raises(DatasetError):
        open_dataset(tmp_path / "x")


@pytest.mark.parametrize("normals", ["NormalSound_IND", "", "case1"])
def test_noise_of_the_surroundings_is_not_trained_on(tmp_path: Path, normals: str) -> None:
    touch(tmp_path / "ToyCar" / normals, CLIPS)
    touch(tmp_path / "ToyCar" / "EnvironmentalNoise_CNT", ["n.wav"])
    dataset = open_dataset(tmp_path / "ToyCar")
    assert all(clip.path.name != "n.wav" for clip in dataset.clips)
    assert [(f.path.name, f.reason) for f in dataset.rejected] == [
        ("n.wav", "background noise, not the sound of a machine")
    ]


def test_a_list_accepts_the_same_words(tmp_path: Path) -> None:
    touch(tmp_path, CLIPS[:4])
    rows = "path,label\n0.wav,OK\n1.wav,not ok\n2.wav,Healthy\n3.wav,leak\n"
    (tmp_path / "list.csv").write_text(rows)
    labels = [clip.label for clip in sorted(open_dataset(tmp_path / "list.csv").clips, key=str)]
    assert sorted(label for label in labels if label is not None) == [0, 0, 1, 1]


def test_faults_are_not_added_to_recordings_marked_as_anomalous(tmp_path: Path) -> None:
    touch(tmp_path / "NG", ["1.wav"])
    touch(tmp_path / "noise", ["2.wav"])
    touch(tmp_path, ["leak.wav"])
    with pytest.raises(DatasetError, match=r"found 3 files and none usable, first \S+: its name"):
        find_recordings(tmp_path)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("default", set()),
        ("goodyear", set()),
        ("normalised", set()),
        ("failsafe", set()),
        ("fault-free", {NORMAL}),
        ("not normal", {ANOMALY}),
        ("NotOK", {ANOMALY}),
        ("normal_to_fault", {NORMAL, ANOMALY}),
    ],
)
def test_label_words_are_whole_words(name: str, labels: set[int]) -> None:
    assert find_labels(name) == labels


@pytest.mark.parametrize("name", ["sounds", "test_rig", "validator", "pump_ok", "noise_reducer"])
def test_other_words_make_a_folder_a_name(name: str) -> None:
    assert parse_folder(name).is_name
