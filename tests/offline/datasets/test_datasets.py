"""Official data is read from every common arrangement of its folders."""

import shutil
from pathlib import Path

import pytest

from asd_monitor.errors import DatasetError
from asd_offline.datasets import ANOMALY, CHALLENGES, NORMAL, open_dataset
from tests.offline.dataset_layouts import DEV, EVAL, dev_2020, dev_2021, touch

pytestmark = pytest.mark.parametrize("year", CHALLENGES)


def make_both_sets(root: Path, year: int) -> Path:
    DEV[year](root / "dev_data")
    EVAL[year](root / "eval_data")
    return root


def test_every_clip_is_fully_described(tmp_path: Path, year: int) -> None:
    dataset = open_dataset(make_both_sets(tmp_path, year))
    assert dataset.year == year
    assert dataset.sets == ("dev", "eval")
    assert not dataset.rejected
    for clip in dataset.clips:
        assert clip.year == year
        assert clip.machine in CHALLENGES[year].machines
        assert clip.section.startswith("id_" if year == 2020 else "section_")
        assert clip.path.is_file()
        assert clip.name == clip.path.name
        if CHALLENGES[year].domains and (clip.split == "train" or clip.label is not None):
            assert clip.domain in ("source", "target")
        assert (clip.label is None) == (clip.subset == "eval" and clip.split == "test")


def test_no_test_clip_and_no_anomaly_is_ever_in_training(tmp_path: Path, year: int) -> None:
    make_both_sets(tmp_path, year)
    for folder in [path for path in tmp_path.rglob("train") if path.is_dir()]:
        for test in folder.parent.glob("*test"):
            for clip in test.iterdir():
                (folder / clip.name).touch()
        for clip in list(folder.glob("*normal*")):
            (folder / clip.name.replace("normal", "anomaly")).touch()
    try:
        dataset = open_dataset(tmp_path)
    except DatasetError:
        assert year == 2020  # a test clip of 2020 may have the very name of a training clip
        return
    training = dataset.select(split="train")
    assert training
    assert all(clip.label == NORMAL and clip.path.parent.name == "train" for clip in training)
    assert all("test" not in clip.name and "anomaly" not in clip.name for clip in training)
    assert dataset.rejected


def test_dev_tests_hold_normal_and_anomalous_clips(tmp_path: Path, year: int) -> None:
    dataset = open_dataset(DEV[year](tmp_path))
    for machine in dataset.machines():
        for section in dataset.sections(machine):
            labels = {c.label for c in dataset.select(machine, section, "test")}
            assert labels == {NORMAL, ANOMALY}


def test_order_does_not_depend_on_the_disk(tmp_path: Path, year: int) -> None:
    clips = open_dataset(make_both_sets(tmp_path, year)).clips
    assert list(clips) == sorted(clips, key=lambda c: (c.machine, c.section, c.split, c.name))


def test_a_folder_per_archive_is_read(tmp_path: Path, year: int) -> None:
    prefix = "dev_data" if year < 2022 else "dev"
    DEV[year](tmp_path / f"{prefix}_gearbox", "ToyCar")
    DEV[year](tmp_path / f"{prefix}_slider", "fan")
    dataset = open_dataset(tmp_path, year)
    assert (dataset.year, dataset.machines()) == (year, ("ToyCar", "fan"))


def test_archive_folder_without_the_machine_folder_is_read(tmp_path: Path, year: int) -> None:
    DEV[year](tmp_path, "dev_data_toycar")
    assert open_dataset(tmp_path, year).machines() == ("ToyCar",)


def test_one_machine_folder_is_read(tmp_path: Path, year: int) -> None:
    machine = "pump" if year < 2022 else "fan"
    root = DEV[year](tmp_path, machine) / machine
    dataset = open_dataset(root, year)
    assert (dataset.year, dataset.machines()) == (year, (machine,))


def test_relative_root_is_read(tmp_path: Path, year: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DEV[year](tmp_path, "fan") / "fan")
    assert open_dataset(Path(), year).machines() == ("fan",)


def test_case_of_folders_and_suffixes_does_not_matter(tmp_path: Path, year: int) -> None:
    DEV[year](tmp_path, "TOYCAR")
    for folder in sorted((tmp_path / "TOYCAR").iterdir()):
        if folder.is_dir():
            for clip in list(folder.iterdir()):
                clip.rename(clip.with_suffix(".WAV"))
            folder.rename(folder.with_name(folder.name.upper()))
    dataset = open_dataset(tmp_path, year)
    assert (dataset.year, dataset.machines()) == (year, ("ToyCar",))
    assert {clip.split for clip in dataset.clips} == {"train", "test"}


def test_files_of_operating_systems_are_ignored(tmp_path: Path, year: int) -> None:
    clean = len(open_dataset(DEV[year](tmp_path, "fan"), year).clips)
    touch(tmp_path / "fan" / "train", ["._normal_id_00_00000000.wav", ".DS_Store", "Thumbs.db"])
    touch(tmp_path / "__MACOSX" / "fan" / "train", ["normal_id_00_00000000.wav"])
    touch(tmp_path, ["dev_data_fan.zip", "readme.md", "dev_data_pump.zip.part"])
    dataset = open_dataset(tmp_path, year)
    assert (len(dataset.clips), dataset.rejected) == (clean, ())


def test_files_that_are_not_clips_are_rejected_with_a_reason(tmp_path: Path, year: int) -> None:
    train = DEV[year](tmp_path, "fan") / "fan" / "train"
    touch(train, ["song.mp3", "hello.wav"])
    touch(tmp_path / "notes", ["memo.wav"])
    (train / "normal_id_00_00000099.wav").symlink_to(tmp_path / "gone.wav")
    dataset = open_dataset(tmp_path, year)
    reasons = {file.path.name: file.reason for file in dataset.rejected}
    assert set(reasons) == {"song.mp3", "hello.wav", "memo.wav", "normal_id_00_00000099.wav"}
    assert all(reasons.values())


def test_a_folder_of_faults_in_the_training_folder_is_rejected_by_its_name(
    tmp_path: Path, year: int
) -> None:
    train = DEV[year](tmp_path, "fan") / "fan" / "train"
    touch(train / "anomalous", ["0001.wav"])
    [file] = open_dataset(tmp_path, year).rejected
    assert file.reason.startswith("train/anomalous/ is a folder of faults by its name")


def test_a_linked_dataset_is_read_and_a_loop_of_links_ends(tmp_path: Path, year: int) -> None:
    DEV[year](tmp_path / "disk", "fan")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "data").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "fan" / "loop").symlink_to(tmp_path / "disk")
    folders = (tmp_path / "disk" / "fan").glob("*[!l]")  # all but supplemental
    expected = {path.name for folder in folders for path in folder.glob("*.wav")}
    assert {clip.name for clip in open_dataset(tmp_path / "here", year).clips} == expected


def test_two_copies_are_refused(tmp_path: Path, year: int) -> None:
    DEV[year](tmp_path / "a", "fan")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with pytest.raises(DatasetError, match="twice"):
        open_dataset(tmp_path, year)


def test_a_machine_can_be_chosen(tmp_path: Path, year: int) -> None:
    DEV[year](tmp_path, "fan")
    DEV[year](tmp_path, "ToyCar")
    assert open_dataset(tmp_path, year, machines=["toycar"]).machines() == ("ToyCar",)


def test_an_unknown_machine_is_refused_with_the_nearest(tmp_path: Path, year: int) -> None:
    DEV[year](tmp_path, "ToyCar")
    with pytest.raises(DatasetError, match=r"no clips of machine toycat.*ToyCar.*nearest: ToyCar"):
        open_dataset(tmp_path, year, machines=["toycat"])


def test_the_year_can_be_given(tmp_path: Path, year: int) -> None:
    assert open_dataset(DEV[year](tmp_path), year=year).year == year


def test_a_year_that_the_names_contradict_is_refused(tmp_path: Path, year: int) -> None:
    given = 2021 if year != 2021 else 2022
    with pytest.raises(DatasetError, match=f"opened as DCASE {given}"):
        open_dataset(DEV[year](tmp_path), year=given)


def test_two_years_in_one_folder_are_refused(tmp_path: Path, year: int) -> None:
    DEV[year](tmp_path / "one", "fan")
    other = dev_2021 if year != 2021 else dev_2020
    other(tmp_path / "two", "valve")
    with pytest.raises(DatasetError, match="expected the clips of one year, found names of"):
        open_dataset(tmp_path)
