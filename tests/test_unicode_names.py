"""Names are compared and stored in one Unicode form, whatever form the disk or keyboard has."""

import unicodedata
from pathlib import Path

import pytest

from asd_monitor.commands.options import make_machine_sections, split_names
from asd_monitor.config import from_options
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sources.playlist import find_recordings
from asd_monitor.unicode_names import derive_id, is_id
from asd_offline.datasets.loading import open_dataset
from tests.offline.dataset_layouts import touch

NFC = "Lüfter"
NFD = unicodedata.normalize("NFD", NFC)
BOTH = pytest.mark.parametrize(("on_disk", "typed"), [(NFC, NFD), (NFD, NFC)])


@BOTH
def test_a_machine_is_found_in_any_form(tmp_path: Path, on_disk: str, typed: str) -> None:
    touch(tmp_path / on_disk / "normal", ["1.wav"])
    touch(tmp_path / "Pumpe" / "normal", ["1.wav"])
    dataset = open_dataset(tmp_path, machines=[typed])
    assert dataset.machines() == (NFC,)
    assert dataset.clips[0].path.exists()


@BOTH
def test_a_machine_is_found_in_a_dcase_layout(tmp_path: Path, on_disk: str, typed: str) -> None:
    touch(tmp_path / on_disk / "train", ["normal_id_00_00000000.wav"])
    dataset = open_dataset(tmp_path, 2020, machines=[typed])
    assert dataset.machines() == (NFC,)
    assert dataset.clips[0].path.exists()


@BOTH
def test_a_list_names_files_and_machines_in_any_form(
    tmp_path: Path, on_disk: str, typed: str
) -> None:
    touch(tmp_path / on_disk, [f"{on_disk}.wav"])
    path = tmp_path / "list.csv"
    path.write_text(f"path,label,machine\n{typed}/{typed}.wav,normal,{typed}\n")
    dataset = open_dataset(path, machines=[on_disk])
    assert dataset.machines() == (NFC,)
    assert dataset.clips[0].path.exists()
    assert dataset.clips[0].name == f"{NFC}/{NFC}.wav"


@BOTH
def test_recordings_are_found_in_any_form(tmp_path: Path, on_disk: str, typed: str) -> None:
    touch(tmp_path / on_disk, ["a.wav"])
    assert find_recordings([tmp_path / typed])[0][1].exists()


@pytest.mark.parametrize("form", [NFC, NFD])
def test_names_in_options_and_settings_are_stored_in_nfc(form: str) -> None:
    assert split_names([f"{form},fan"]) == (NFC, "fan")
    machine = {"mic": 0, "target": f"{form}/id_00"}
    config = from_options(
        {"machines": {"pump": machine}, "mqtt": {"host": "broker", "base_topic": form}}
    )
    assert config.machines["pump"].target == f"{NFC}/id_00"
    mqtt = config.sink_settings(MqttSettings)
    assert mqtt is not None
    assert mqtt.base_topic == NFC


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("pump", "pump"),
        ("Fan-2.A", "Fan-2.A"),
        ("Pump 1/2", "pump-1-2"),
        (NFC, "lufter"),
        (NFD, "lufter"),
        ("Straße 7", "strasse-7"),
        ("../up", "up"),
        ("x" * 70, "x" * 64),
    ],
)
def test_a_typed_name_gives_an_id_for_folders_topics_and_labels(name: str, id_: str) -> None:
    assert derive_id(name) == id_
    assert is_id(id_)


def test_names_without_latin_letters_have_ids_that_differ_and_stay() -> None:
    ids = [derive_id(name) for name in ("泵", "風扇", "泵")]
    assert ids[0] == ids[2] != ids[1]
    assert all(map(is_id, ids))


def test_a_typed_name_is_kept_as_the_display_name(capsys: pytest.CaptureFixture[str]) -> None:
    sections = make_machine_sections(["0", "1"], None, ["Pump 1/2", "fan"], channel=0, fast=False)
    config = from_options({"machines": sections})
    assert config.display_names == {"pump-1-2": "Pump 1/2", "fan": "fan"}
    assert capsys.readouterr().err == (
        "Pump 1/2: its id in folders, topics and labels is pump-1-2\n"
    )
