"""Attributes and labels are read from lists."""

from pathlib import Path

import pytest

from asd_monitor.errors import DatasetError
from asd_offline.datasets import ANOMALY, NORMAL, open_dataset
from tests.offline.dataset_layouts import (
    dev_2022,
    eval_2020,
    eval_2021,
    eval_2022,
    eval_2023,
    touch,
    write_attributes,
)


def write(path: Path, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*rows, ""]), encoding="utf-8")


def sections_truth(root: Path, machine: str, section: str) -> Path:
    stem = f"ground_truth_{machine}_section_{section}_test.csv"
    names = [f"section_{section}_{n:04d}.wav" for n in range(2)]
    write(root / "ground_truth_data" / stem, f"{names[0]},0", f"{names[1]},1")
    write(root / "ground_truth_domain" / stem, f"{names[0]},1", f"{names[1]},0")
    return root


def test_attribute_lists_take_precedence_over_names(tmp_path: Path) -> None:
    clips = open_dataset(dev_2022(tmp_path)).clips
    assert {clip.attributes for clip in clips} == {(("speed", "6"),)}


def test_without_an_attribute_list_names_are_used(tmp_path: Path) -> None:
    dev_2022(tmp_path)
    (tmp_path / "fan" / "attributes_00.csv").unlink()
    dataset = open_dataset(tmp_path)
    assert {c.attributes for c in dataset.select("fan", "section_00")} == {(("spd", "6"),)}
    assert {c.attributes for c in dataset.select("fan", "section_01")} == {(("speed", "6"),)}


@pytest.mark.parametrize("content", [b"", b"name,value\n", b"\xff\xfe", b"file_name\0,d1p\n"])
def test_a_damaged_attribute_list_is_reported(tmp_path: Path, content: bytes) -> None:
    dev_2022(tmp_path)
    (tmp_path / "fan" / "attributes_00.csv").write_bytes(content)
    dataset = open_dataset(tmp_path)
    assert [file.path.name for file in dataset.rejected] == ["attributes_00.csv"]
    assert {c.attributes for c in dataset.select("fan", "section_00")} == {(("spd", "6"),)}


def test_several_attributes_and_short_rows_are_read(tmp_path: Path) -> None:
    name = "section_00_source_train_normal_0000_car_A1_spd_28V.wav"
    touch(tmp_path / "ToyCar" / "train", [name])
    write(
        tmp_path / "ToyCar" / "attributes_00.csv",
        "file_name,d1p,d1v,d2p,d2v,d3p,d3v",
        f"ToyCar/train/{name},car,A1,speed,28V",
    )
    clip = open_dataset(tmp_path, 2023).clips[0]
    assert clip.attributes == (("car", "A1"), ("speed", "28V"))


def test_rows_without_folder_and_suffix_are_read_and_repeated_keys_numbered(
    tmp_path: Path,
) -> None:
    name = "section_00_source_train_normal_0000_noAttribute"
    touch(tmp_path / "ToyCar" / "train", [f"{name}.wav"])
    write(
        tmp_path / "ToyCar" / "attributes_00.csv",
        "file_name,d1p,d1v,d2p,d2v",
        f"{name},mic,2,mic,1",
    )
    clip = open_dataset(tmp_path).clips[0]
    assert clip.attributes == (("mic", "2"), ("mic_2", "1"))


def test_a_list_of_hidden_attributes_has_names_only(tmp_path: Path) -> None:
    name = "section_00_source_train_normal_0001_noAttribute.wav"
    touch(tmp_path / "gearbox" / "train", [name])
    write(tmp_path / "gearbox" / "attributes_00.csv", "file_name", f"gearbox/train/{name}")
    dataset = open_dataset(tmp_path)
    assert (dataset.clips[0].attributes, dataset.rejected) == ((), ())


@pytest.mark.parametrize(
    ("machine", "names", "attributes"),
    [
        (
            "AirCompressor",
            "section_00_source_test_normal_0001_noAttribute,"
            "section_00_source_test_normal_0001_fl_2_nos_3.wav",
            (("fl", "2"), ("nos", "3")),
        ),
        (
            "RoboticArm",
            "section_00_source_normal_0035_weight15_BckgF",
            (("weight", "15"), ("Bckg", "F")),
        ),
    ],
)
def test_attributes_of_2024_come_from_the_ground_truth(
    tmp_path: Path, machine: str, names: str, attributes: tuple[tuple[str, str], ...]
) -> None:
    touch(tmp_path / "data" / machine / "test", ["section_00_0001.wav"])
    stem = f"ground_truth_{machine}_section_00_test.csv"
    truth = tmp_path / "evaluator"
    write(truth / "ground_truth_data" / stem, "section_00_0001.wav,0")
    write(truth / "ground_truth_domain" / stem, "section_00_0001.wav,0")
    write(truth / "ground_truth_attributes" / stem, f"section_00_0001.wav,{names}")
    [clip] = open_dataset(tmp_path / "data", ground_truth=truth).clips
    assert (clip.label, clip.domain, clip.attributes) == (0, "source", attributes)


def test_rows_of_other_machines_in_a_list_are_ignored(tmp_path: Path) -> None:
    dev_2022(tmp_path)
    write_attributes(tmp_path / "fan", "09", ["../../etc/passwd,speed,1", ""])
    assert not open_dataset(tmp_path).rejected


def test_2020_takes_labels_from_its_list(tmp_path: Path) -> None:
    eval_2020(tmp_path / "data", ids=("01",))
    write(
        tmp_path / "truth" / "eval_data_list.csv",
        "fan",
        "id_01_00000000.wav,normal_id_01_00000098.wav,0",
        "id_01_00000001.wav,anomaly_id_01_00000064.wav,1",
    )
    dataset = open_dataset(tmp_path / "data", ground_truth=tmp_path / "truth")
    assert [c.label for c in dataset.select(split="test")] == [NORMAL, ANOMALY]
    assert not dataset.notes


def test_2021_takes_labels_from_a_file_per_domain(tmp_path: Path) -> None:
    eval_2021(tmp_path / "data", sections=("03",))
    for domain in ("source", "target"):
        stem = f"section_03_{domain}_test"
        write(
            tmp_path / "truth" / "ground_truth_data" / f"ground_truth_pump_{stem}.csv",
            f"{stem}_0000.wav,1",
            f"{stem}_0001.wav,0",
        )
    tests = open_dataset(tmp_path / "data", ground_truth=tmp_path / "truth").select(split="test")
    assert [(c.domain, c.label) for c in tests] == [
        ("source", ANOMALY),
        ("source", NORMAL),
        ("target", ANOMALY),
        ("target", NORMAL),
    ]


def test_2022_takes_labels_domains_and_attributes(tmp_path: Path) -> None:
    eval_2022(tmp_path / "data", sections=("03",))
    truth = sections_truth(tmp_path / "truth", "fan", "03")
    write(
        truth / "ground_truth_attributes" / "fan" / "attributes_03.csv",
        "file_name,d1p,d1v,file_name_with_full_attributes",
        "fan/test/section_03_0000.wav,m-n,W,fan/test/section_03_target_test_normal_0000_m-n_W.wav",
        "fan/test/section_03_0001.wav,m-n,X,fan/test/section_03_source_test_anomaly_0001_m-n_X.wav",
    )
    tests = open_dataset(tmp_path / "data", ground_truth=truth).select(split="test")
    assert [(c.domain, c.label, c.attributes) for c in tests] == [
        ("target", NORMAL, (("m-n", "W"),)),
        ("source", ANOMALY, (("m-n", "X"),)),
    ]


def test_2023_takes_labels_and_domains(tmp_path: Path) -> None:
    eval_2023(tmp_path / "data")
    truth = sections_truth(tmp_path / "truth", "bandsaw", "00")
    tests = open_dataset(tmp_path / "data", ground_truth=truth).select(split="test")
    assert [(c.domain, c.label) for c in tests] == [("target", NORMAL), ("source", ANOMALY)]


def test_sections_without_ground_truth_stay_unlabelled_and_are_reported(tmp_path: Path) -> None:
    eval_2022(tmp_path / "data", sections=("03", "04"))
    truth = sections_truth(tmp_path / "truth", "fan", "03")
    dataset = open_dataset(tmp_path / "data", ground_truth=truth)
    assert {c.label for c in dataset.select("fan", "section_04", "test")} == {None}
    assert dataset.notes == ("no ground truth for 2 test clips of fan section_04",)


def test_a_clip_missing_in_its_ground_truth_is_an_error(tmp_path: Path) -> None:
    eval_2022(tmp_path / "data", sections=("03",))
    touch(tmp_path / "data" / "fan" / "test", ["section_03_0777.wav"])
    truth = sections_truth(tmp_path / "truth", "fan", "03")
    with pytest.raises(DatasetError, match=r"none for section_03_0777\.wav"):
        open_dataset(tmp_path / "data", ground_truth=truth)


def test_ground_truth_for_a_plain_folder_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "normal", ["a.wav"])
    with pytest.raises(DatasetError, match="only DCASE evaluation sets"):
        open_dataset(tmp_path, ground_truth=tmp_path)
