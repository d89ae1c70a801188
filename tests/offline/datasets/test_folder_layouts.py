"""Your own recordings are read from labelled folders and CSV lists."""

from pathlib import Path

import pytest

from asd_monitor.audio.files import AUDIO_SUFFIXES
from asd_monitor.errors import DatasetError
from asd_offline.datasets import ANOMALY, NORMAL, Dataset, open_dataset
from tests.offline.dataset_layouts import touch

NINE = [f"{n}.wav" for n in range(9)]


def by_split(dataset: Dataset) -> dict[str, set[tuple[str, int | None]]]:
    splits: dict[str, set[tuple[str, int | None]]] = {"train": set(), "test": set()}
    for clip in dataset.clips:
        splits[clip.split].add((clip.path.name, clip.label))
    return splits


def test_without_a_split_the_first_two_thirds_of_normal_clips_are_for_training_with_a_note(
    tmp_path: Path,
) -> None:
    touch(tmp_path / "press" / "normal", NINE)
    touch(tmp_path / "press" / "anomaly", ["a.wav"])
    dataset = open_dataset(tmp_path / "press")
    assert by_split(dataset) == {
        "train": {(name, NORMAL) for name in NINE[:6]},
        "test": {(name, NORMAL) for name in NINE[6:]} | {("a.wav", ANOMALY)},
    }
    assert (dataset.year, dataset.machines(), dataset.sections("press")) == (
        None,
        ("press",),
        ("all",),
    )
    assert "first 6 of 9 normal recordings by name" in dataset.notes[0]


@pytest.mark.parametrize(
    "names",
    [
        [f"{n}.wav" for n in range(1, 31)],
        [f"take {n}.wav" for n in range(5, 125, 4)],
        [f"2024-5-{n}_8-00.wav" for n in range(1, 31)],
    ],
)
@pytest.mark.parametrize("as_list", [False, True])
def test_the_recordings_held_out_for_testing_are_the_last_ones_made(
    tmp_path: Path, names: list[str], as_list: bool
) -> None:
    for name in names:
        path = tmp_path / "normal" / name
        touch(path.parent, [path.name])
    rows = (f"normal/{name},normal" for name in reversed(names))
    root = write(tmp_path, "path,label", *rows) if as_list else tmp_path
    for clips, expected in (
        (open_dataset(root).select(split="train"), names[:20]),
        (open_dataset(root).select(split="test"), names[20:]),
    ):
        assert sorted(clip.name for clip in clips) == sorted(f"normal/{n}" for n in expected)


@pytest.mark.parametrize(
    "name",
    [
        "section_0_source_train_normal_0000.flac",
        "section_00_source_train_normal.wav",
        "normal_id_00_00000000.flac",
        "normal_id_00_7b.wav",
    ],
)
@pytest.mark.parametrize("folder", ["train", "clips"])
def test_names_almost_as_in_a_challenge_are_reported(
    tmp_path: Path, name: str, folder: str
) -> None:
    touch(tmp_path / "fan" / folder, [name])
    dataset = open_dataset(tmp_path)
    assert dataset.year is None
    assert f"first fan/{folder}/{name}, are named almost as in DCASE" in dataset.notes[-1]


def test_clips_are_in_the_order_in_which_numbered_recordings_were_made(tmp_path: Path) -> None:
    names = [f"{n}.wav" for n in range(1, 13)]
    touch(tmp_path / "train", names)
    assert [clip.path.name for clip in open_dataset(tmp_path).clips] == names


@pytest.mark.parametrize("train", ["train/normal", "normal/train", "train", "Train/Normal"])
def test_a_training_folder_is_used(tmp_path: Path, train: str) -> None:
    touch(tmp_path / train, ["t.wav"])
    touch(tmp_path / "test" / "normal", ["n.wav"])
    touch(tmp_path / "test" / "abnormal", ["a.wav"])
    dataset = open_dataset(tmp_path)
    assert by_split(dataset) == {
        "train": {("t.wav", NORMAL)},
        "test": {("n.wav", NORMAL), ("a.wav", ANOMALY)},
    }
    assert not dataset.notes


def test_a_test_folder_alone_is_never_trained_on(tmp_path: Path) -> None:
    for index in range(6):
        touch(tmp_path / "pump" / "test" / "normal", [f"{index}.wav"])
    dataset = open_dataset(tmp_path)
    assert {clip.split for clip in dataset.clips} == {"test"}


def test_a_list_with_only_test_clips_is_used_as_it_is(tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav", "b.wav"])
    rows = "path,label,split\na.wav,normal,test\nb.wav,normal,test\n"
    (tmp_path / "list.csv").write_text(rows)
    dataset = open_dataset(tmp_path / "list.csv")
    assert {clip.split for clip in dataset.clips} == {"test"}


def test_machines_and_ids_are_the_other_folders(tmp_path: Path) -> None:
    touch(tmp_path / "fan" / "id_00" / "normal", NINE)
    touch(tmp_path / "fan" / "id_02" / "abnormal", NINE)
    touch(tmp_path / "pump" / "normal", NINE)
    dataset = open_dataset(tmp_path, machines=["fan", "pump"])
    assert dataset.sections("fan") == ("id_00", "id_02")
    assert dataset.sections("pump") == ("all",)
    assert not dataset.select("fan", "id_02", "train")


def test_anomalies_in_a_training_folder_are_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path / "train" / "normal", NINE)
    touch(tmp_path / "train" / "anomaly", ["a.wav"])
    with pytest.raises(DatasetError, match=r"names of anomalies: train/anomaly/a\.wav; .*CSV"):
        open_dataset(tmp_path)


def test_other_audio_formats_are_clips(tmp_path: Path) -> None:
    names = ["a.wav", "b.flac", "c.OGG", "d.aiff", "e.aif"]
    touch(tmp_path / "train", [*names, "f.m4a", "notes.txt"])
    dataset = open_dataset(tmp_path)
    assert sorted(clip.path.name for clip in dataset.clips) == names
    assert [file.path.name for file in dataset.rejected] == ["f.m4a"]


def test_one_normal_recording_trains_and_unlabelled_ones_are_tested(tmp_path: Path) -> None:
    touch(tmp_path / "normal", ["a.wav"])
    touch(tmp_path / "test", ["b.wav"])
    assert by_split(open_dataset(tmp_path)) == {
        "train": {("a.wav", NORMAL)},
        "test": {("b.wav", None)},
    }


def write(folder: Path, *lines: str, name: str = "list.csv") -> Path:
    touch(folder / "x", NINE)
    path = folder / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_list_is_read_with_all_its_columns(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "path,label,split,machine,section,domain",
        "x/0.wav,normal,train,press,left,source",
        "x/1.wav,1,test,press,left,target",
        "x/2.wav,,,press,left,",
    )
    clips = open_dataset(path).clips
    assert [(c.path.name, c.label, c.split, c.domain) for c in clips] == [
        ("1.wav", ANOMALY, "test", "target"),
        ("2.wav", None, "test", ""),
        ("0.wav", NORMAL, "train", "source"),
    ]
    assert {(c.machine, c.section) for c in clips} == {("press", "left")}


def test_a_list_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    touch(tmp_path, NINE)
    rows = "".join(f"{name};Normal\r\n" for name in NINE)
    path.write_bytes(b"\xef\xbb\xbfPath;Label\r\n" + rows.encode() + b"\r\n")
    dataset = open_dataset(path)
    assert len(dataset.select(split="train")) == 6
    assert "first 6 of 9" in dataset.notes[0]


def test_absolute_paths_are_used_as_they_are(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", ["a.wav"])
    path = write(tmp_path / "here", "path,label", f"{tmp_path}/elsewhere/a.wav,normal")
    assert open_dataset(path).clips[0].path == tmp_path / "elsewhere" / "a.wav"


def test_missing_recordings_of_a_list_are_rejected(tmp_path: Path) -> None:
    path = write(tmp_path, "path,label", "x/0.wav,normal", "x/gone.wav,normal", "list.csv,normal")
    reasons = [file.reason for file in open_dataset(path).rejected]
    assert reasons[0] == "no such file"
    assert reasons[1].startswith("not one of .wav")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "row 1: expected a header path,label"),
        (("file,label", "a.wav,0"), "row 1: expected a header path,label"),
        (("path,label,colour", "a.wav,0,red"), "row 1: expected a header"),
        (("path,label,label", "a.wav,0,1"), "row 1: expected a header"),
        (("path,label",), "no rows"),
        (("path,label", "x/gone.wav,0"), "none that exists"),
        (("path,label", "x/0.wav,maybe"), "row 2: expected one of .* as label, found 'maybe'"),
        (("path,label", "x/0.wav,0", "x/0.wav,0"), "row 3: .* was listed before, in row 2"),
        (("path,label", "x/0.wav,0", "x/../x/0.wav,0"), "row 3: .* was listed before"),
        (("path,label", "x/0.wav,0,train"), "row 2: expected 2 columns, found 3"),
        (("path,label", "x/0.wav"), "row 2: expected 2 columns, found 1"),
        (("path,label", ",0"), "row 2: expected the path of a recording"),
        (("path,label,attributes", "x/0.wav,0,spd"), "row 2: expected attributes .* found 'spd'"),
        (("path,label,attributes", "x/0.wav,0,=2"), "row 2: expected attributes .* found '=2'"),
        (("path,label", "../a.wav,0"), "row 2: ../a.wav is outside the folder"),
        (("path,label", "x/../../a.wav,0"), "row 2: .* is outside the folder"),
        (("path,label,split", "x/0.wav,1,train"), "row 2: expected label normal in the training"),
        (("path,label,split", "x/0.wav,,train"), "row 2: expected label normal in the training"),
        (("path,label,split", "x/0.wav,0,val"), "row 2: expected one of .* as split"),
        (("path,label,domain", "x/0.wav,0,left"), "row 2: expected one of .* as domain"),
    ],
)
def test_the_row_of_an_invalid_list_is_reported(
    tmp_path: Path, lines: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        open_dataset(write(tmp_path, *lines))


def test_a_list_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(DatasetError, match="expected a CSV of path,label in UTF-8"):
        open_dataset(path)


def test_a_list_with_an_unclosed_quote_is_reported(tmp_path: Path) -> None:
    rows = [f"x/{number}.wav,normal" for number in range(10_000)]
    with pytest.raises(DatasetError, match="row 2: a quotation mark"):
        open_dataset(write(tmp_path, "path,label", '"x/a.wav,normal', *rows))


def test_a_linked_recording_keeps_the_name_of_the_link(tmp_path: Path) -> None:
    touch(tmp_path / "store", ["0.wav"])
    (tmp_path / "data" / "normal").mkdir(parents=True)
    (tmp_path / "data" / "normal" / "monday.wav").symlink_to(tmp_path / "store" / "0.wav")
    assert open_dataset(tmp_path / "data").clips[0].path.name == "monday.wav"


def test_names_of_recordings_are_unique(tmp_path: Path) -> None:
    touch(tmp_path / "press" / "normal", NINE)
    touch(tmp_path / "press" / "anomaly", NINE)
    dataset = open_dataset(tmp_path)
    names = [clip.name for clip in dataset.clips]
    assert len(set(names)) == len(names) == 18
    assert "press/anomaly/0.wav" in names


@pytest.mark.parametrize("suffix", AUDIO_SUFFIXES)
def test_every_format_that_the_monitor_reads_is_found(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path / "press" / "normal", [f"1{suffix}", f"2{suffix.upper()}", "3.m4a"])
    dataset = open_dataset(tmp_path)
    assert len(dataset.clips) == 2
    assert "not a format that is read (WAV, FLAC" in dataset.rejected[0].reason
