"""Any folder opens as a valid dataset or with an error that names it."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.errors import DatasetError
from asd_offline.datasets import NORMAL, open_dataset
from tests.offline.dataset_layouts import dev_2020, touch

SPLITS = ["train", "Train", "test", "source_test", "target_test"]
LABELS = ["normal", "anomaly", "abnormal"]
OTHERS = ["fan", "FAN", "pump-7", "dev_data_fan", "id_00", "ä", "eval_data", "..."]
FOLDERS = st.lists(st.sampled_from([*SPLITS, *LABELS, *OTHERS]), max_size=4)
NOT_FOR_TRAINING = {"test", "source_test", "target_test", "anomaly", "abnormal"}
NAMES = st.sampled_from(
    [
        "normal_id_00_00000000.wav",
        "anomaly_id_00_00000001.wav",
        "id_01_00000000.wav",
        "section_00_source_train_normal_0000_A.wav",
        "section_01_target_train_normal_0003_a_b.WAV",
        "section_00_source_train_anomaly_0000.wav",
        "section_00_source_test_normal_0000.wav",
        "section_02_target_test_anomaly_0000_a_b.wav",
        "section_03_target_test_0000.wav",
        "section_03_0000.wav",
        "section_00_source_train_normal_0000_noAttribute.wav",
        "a.wav",
        "b.flac",
        "c.mp3",
        "attributes_00.csv",
        "list.csv",
        "dev_data_fan.zip",
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    paths=st.lists(st.tuples(FOLDERS, NAMES), max_size=12),
    year=st.sampled_from([None, None, 2020, 2021, 2022, 2023]),
    machines=st.sampled_from([None, None, ["fan"], ["valve"]]),
)
def test_any_tree_gives_a_valid_dataset_or_an_error(
    paths: list[tuple[list[str], str]], year: int | None, machines: list[str] | None
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for folders, name in paths:
            touch(root.joinpath(*folders), [name])
        try:
            dataset = open_dataset(root, year, machines=machines)
        except DatasetError as error:
            assert str(root) in str(error)  # noqa: PT017
            return
        assert dataset.clips
        keys = [(clip.machine, clip.split, clip.name) for clip in dataset.clips]
        assert len(set(keys)) == len(keys)
        for clip in dataset.clips:
            assert clip.path.is_file()
            assert clip.machine
            assert clip.section
            assert clip.split == "test" or clip.label == NORMAL
            inside = {part.lower() for part in clip.path.relative_to(root).parent.parts[-2:]}
            assert clip.split == "test" or not inside & NOT_FOR_TRAINING
        rejected = {file.path for file in dataset.rejected}
        assert not rejected & {clip.path for clip in dataset.clips}


def test_names_that_are_not_utf_8_are_rejected_and_printable(tmp_path: Path) -> None:
    dev_2020(tmp_path)
    invalid = os.fsencode(tmp_path) + b"/fan/train/\xff_id_00_00000000.wav"
    Path(os.fsdecode(invalid)).touch()
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/p\xffmp/train"))
    touch(folder, ["normal_id_00_00000000.wav"])
    dataset = open_dataset(tmp_path)
    assert dataset.machines() == ("fan",)
    assert len(dataset.rejected) == 2
    for file in dataset.rejected:
        assert "UTF-8" in file.reason
        assert str(file.path).encode("utf-8")


def test_pipes_are_rejected(tmp_path: Path) -> None:
    dev_2020(tmp_path)
    os.mkfifo(tmp_path / "fan" / "train" / "normal_id_00_00000077.wav")
    dataset = open_dataset(tmp_path)
    assert [file.reason for file in dataset.rejected] == ["not a regular file"]
