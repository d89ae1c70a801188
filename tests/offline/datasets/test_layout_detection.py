"""The year is detected from the names, or the error says why it cannot be."""

from pathlib import Path

import pytest

from asd_monitor.errors import DatasetError
from asd_offline.datasets import open_dataset
from tests.offline.dataset_layouts import (
    DEV,
    dev_2020,
    dev_2022,
    dev_2023,
    eval_2020,
    eval_2021,
    eval_2022,
    eval_2023,
    touch,
)


def train_only(root: Path, machine: str, section: str, last: int, domain: str = "source") -> Path:
    names = [f"section_{section}_{domain}_train_normal_{n:04d}_A.wav" for n in (0, last)]
    touch(root / machine / "train", names)
    return root


def test_the_year_of_evaluation_sets_alone_is_detected(tmp_path: Path) -> None:
    makers = {2020: eval_2020, 2021: eval_2021, 2022: eval_2022, 2023: eval_2023}
    for year, make in makers.items():
        dataset = open_dataset(make(tmp_path / str(year)))
        assert (dataset.year, dataset.sets) == (year, ("eval",))


def test_the_year_of_test_clips_alone_is_detected(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "fan" / "test", ["section_03_0000.wav"])
    touch(tmp_path / "b" / "Vacuum" / "test", ["section_00_0000.wav"])
    assert open_dataset(tmp_path / "a").year == 2022
    assert open_dataset(tmp_path / "b").year == 2023


def test_the_year_of_training_clips_alone_is_detected_by_machine(tmp_path: Path) -> None:
    assert open_dataset(train_only(tmp_path / "a", "pump", "00", 9)).year == 2021
    assert open_dataset(train_only(tmp_path / "b", "bearing", "03", 9)).year == 2022
    assert open_dataset(train_only(tmp_path / "c", "shaker", "00", 9)).year == 2023


def test_the_year_of_training_clips_alone_is_detected_by_their_number(tmp_path: Path) -> None:
    sources = open_dataset(train_only(tmp_path / "a", "fan", "01", 999))
    targets = open_dataset(train_only(tmp_path / "b", "fan", "01", 9, "target"))
    assert (sources.year, targets.year) == (2021, 2022)
    assert sources.notes
    assert targets.notes


def test_an_ambiguous_folder_requires_the_year(tmp_path: Path) -> None:
    train_only(tmp_path, "fan", "01", 5)
    with pytest.raises(DatasetError, match=r"2021 and 2022.*give the year with --year"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, year=2022).year == 2022


def test_one_section_is_read_as_2023_with_a_note(tmp_path: Path) -> None:
    dataset = open_dataset(dev_2023(tmp_path))
    assert dataset.year == 2023
    assert "no section but 00" in dataset.notes[0]


def test_machines_of_no_challenge_are_read(tmp_path: Path) -> None:
    years = {**{year: year for year in DEV}, 2024: 2023, 2026: 2023}  # nothing distinguishes them
    for made, year in years.items():
        dataset = open_dataset(DEV[made](tmp_path / str(made), "press-3"))
        assert (dataset.year, dataset.machines(), dataset.sets) == (year, ("press-3",), ())


@pytest.mark.parametrize("machine", ["fan", "bearing"])
def test_2022_and_2023_side_by_side_are_refused(tmp_path: Path, machine: str) -> None:
    dev_2022(tmp_path / "2022", "fan")
    dev_2023(tmp_path / "2023", machine)
    eval_2023(tmp_path / "2023")
    with pytest.raises(DatasetError, match=r"one year"):
        open_dataset(tmp_path)


def test_a_stray_file_of_another_year_is_rejected(tmp_path: Path) -> None:
    dev_2022(tmp_path)
    names = [f"section_00_source_train_normal_{n:04d}_spd_6.wav" for n in range(2, 30)]
    touch(tmp_path / "fan" / "train", [*names, "normal_id_00_00000000.wav"])
    dataset = open_dataset(tmp_path)
    assert dataset.year == 2022
    assert [file.path.name for file in dataset.rejected] == ["normal_id_00_00000000.wav"]


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected the folder of a dataset, found nothing"):
        open_dataset(tmp_path / "gone")


def test_a_packed_archive_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, ["dev_data_fan.zip"])
    with pytest.raises(DatasetError, match="unpack it"):
        open_dataset(tmp_path / "dev_data_fan.zip")
    with pytest.raises(DatasetError, match=r"found 1 archives.*: unpack them"):
        open_dataset(tmp_path)


def test_a_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav"])
    with pytest.raises(DatasetError, match="found a file"):
        open_dataset(tmp_path / "a.wav")


def test_an_empty_folder_is_refused_with_the_expected_layouts(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected clips as in .*found no sound files"):
        open_dataset(tmp_path)


def test_sounds_in_no_known_layout_are_reported(tmp_path: Path) -> None:
    touch(tmp_path / "x", ["a.wav", "b.wav"])
    with pytest.raises(DatasetError, match=r"2 sound files in no known .*, first .*a\.wav"):
        open_dataset(tmp_path, 2020)


def test_names_without_a_valid_clip_are_refused_with_the_reason(tmp_path: Path) -> None:
    touch(tmp_path / "fan" / "train", ["anomaly_id_00_00000000.wav"])
    with pytest.raises(DatasetError, match="no valid clip"):
        open_dataset(tmp_path)


def test_recordings_that_commissioning_keeps_are_read(tmp_path: Path) -> None:
    names = [f"normal_id_00_{n:08d}.wav" for n in range(3)]
    touch(tmp_path / "recordings" / "pump-7" / "train", names)
    dataset = open_dataset(tmp_path / "recordings")
    assert (dataset.year, dataset.machines(), dataset.sets) == (2020, ("pump-7",), ())
    assert {(c.section, c.split, c.label) for c in dataset.clips} == {("id_00", "train", 0)}


def test_nested_downloads_are_read(tmp_path: Path) -> None:
    dev_2020(tmp_path / "data" / "dcase2020" / "dev_data" / "raw")
    eval_2020(tmp_path / "data" / "dcase2020" / "eval_data" / "raw")
    assert open_dataset(tmp_path).sets == ("dev", "eval")
