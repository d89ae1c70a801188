"""Names are compared and stored in one Unicode form, whatever form the disk or keyboard has."""

import unicodedata
from pathlib import Path

import pytest

from asd_monitor.commands.options import split_names
from asd_monitor.config import from_options
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sources.playlist import find_recordings
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
    config = from_options({"machines": {"pump": machine}, "mqtt": {"base_topic": form}})
    assert config.machines["pump"].target == f"{NFC}/id_00"
    mqtt = config.sink_settings(MqttSettings)
    assert mqtt is not None
    assert mqtt.base_topic == NFC
