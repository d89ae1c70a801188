"""Listing microphones, finding the one that the settings name, and stable ids."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from asd_monitor.commands.devices import devices
from asd_monitor.errors import SourceError
from asd_monitor.sources.microphone.device_ids import stable_id, usb_port
from asd_monitor.sources.microphone.devices import (
    Microphone,
    list_microphones,
    with_unique_ids,
)
from asd_monitor.sources.microphone.identity import MicrophoneIdentity
from asd_monitor.sources.microphone.selection import (
    AmbiguousDeviceError,
    UnknownDeviceError,
    resolve_device,
)
from tests.rig.listening import noise
from tests.rig.virtual_microphone import (
    MakeMicrophones,
    VirtualSound,
)


def microphone(index: int, name: str, identity: str = "") -> Microphone:
    return Microphone(index, name, "ALSA", 1, 48000, (48000,), identity or f"alsa:{name}", False)


PRESENT = [
    microphone(0, "USB Audio: - (hw:1,0)", "usb:0d8c:0014:A1"),
    microphone(2, "USB Audio: - (hw:2,0)", "usb:0d8c:0014:B2"),
    microphone(5, "pump"),
    microphone(6, "pump room"),
]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (2, 2),
        ("pump", 5),
        ("ROOM", 6),
        ("hw:1,0", 0),
        ("usb:0d8c:0014:B2", 2),
    ],
)
def test_a_device_is_found_by_index_full_or_partial_name_or_id(
    wanted: int | str, index: int
) -> None:
    assert resolve_device(wanted, PRESENT).index == index


def test_a_pinned_device_is_found_after_its_index_has_changed() -> None:
    moved = [microphone(0, "pump"), microphone(1, "fan")]
    assert resolve_device(0, moved, pinned=MicrophoneIdentity("alsa:fan", "fan")).name == "fan"


def test_a_part_of_a_name_that_matches_several_is_refused_and_all_are_listed() -> None:
    with pytest.raises(AmbiguousDeviceError, match=r"'usb' matches several: 0 .*A1.*, 2 .*B2"):
        resolve_device("usb", PRESENT)


@pytest.mark.parametrize("wanted", [1, "lathe"])
def test_an_unknown_device_is_refused_and_the_available_ones_are_listed(wanted: int | str) -> None:
    with pytest.raises(UnknownDeviceError, match=r"was not found; available: 0 .* 6 'pump room'"):
        resolve_device(wanted, PRESENT)


def same_serial(*ports: str) -> list[Microphone]:
    """Return microphones of one make that share a serial number, as cheap ones do."""
    return with_unique_ids(
        [
            replace(microphone(i, f"USB: - (hw:{i},0)", "usb:0d8c:0014:0000"), port=port)
            for i, port in enumerate(ports)
        ]
    )


def test_microphones_with_the_same_serial_number_are_distinguished_by_port() -> None:
    both = same_serial("1-2", "1-4.1")
    ids = [mic.stable_id for mic in both]
    assert ids == ["usb:0d8c:0014:0000@1-2", "usb:0d8c:0014:0000@1-4.1"]
    assert [resolve_device(device_id, both).port for device_id in ids] == ["1-2", "1-4.1"]
    assert same_serial("1-2")[0].stable_id == "usb:0d8c:0014:0000"


def test_microphones_with_the_same_serial_number_are_never_confused() -> None:
    second = MicrophoneIdentity("usb:0d8c:0014:0000@1-4.1", "USB", "1-4.1")
    assert resolve_device(1, same_serial("1-4.1"), pinned=second).port == "1-4.1"
    for present in (same_serial("1-2"), same_serial("1-2", "1-3")):
        with pytest.raises(UnknownDeviceError):
            resolve_device(1, present, pinned=second)


def test_an_id_that_a_second_microphone_has_come_to_share_is_ambiguous() -> None:
    alone = same_serial("1-2")[0].stable_id
    with pytest.raises(AmbiguousDeviceError, match=r"@1-2.*@1-3"):
        resolve_device(alone, same_serial("1-2", "1-3"))


@pytest.mark.parametrize("port", ["1-2", "1-3"])
def test_a_pinned_microphone_is_found_by_its_port_when_a_second_one_shares_its_id(
    port: str,
) -> None:
    pinned = MicrophoneIdentity.of(same_serial(port)[0])
    assert resolve_device(0, same_serial("1-2", "1-3"), pinned).port == port


def test_without_any_microphone_the_error_says_what_to_check() -> None:
    with pytest.raises(UnknownDeviceError, match=r"no microphone found.*arecord -l.*group `audio`"):
        resolve_device("pump", [])


def usb_card(root: Path, card: int, serial: str | None) -> None:
    device = root / "devices" / "usb1" / "1-2"
    (device / "1-2:1.0").mkdir(parents=True)
    (device / "idVendor").write_text("0d8c\n")
    (device / "idProduct").write_text("0014\n")
    if serial is not None:
        (device / "serial").write_text(serial + "\n")
    folder = root / "class" / "sound" / f"card{card}"
    folder.mkdir(parents=True)
    (folder / "device").symlink_to(device / "1-2:1.0")
    (folder / "id").write_text("Device\n")


@pytest.mark.parametrize(
    ("serial", "pcm", "expected"),
    [
        ("A1", 0, "usb:0d8c:0014:A1"),
        ("A1", 1, "usb:0d8c:0014:A1,1"),
        (None, 0, "usb:0d8c:0014@1-2"),
    ],
)
def test_a_usb_card_keeps_its_id_when_its_number_changes(
    tmp_path: Path, serial: str | None, pcm: int, expected: str
) -> None:
    for card in (1, 3):
        root = tmp_path / str(card)
        usb_card(root, card, serial)
        assert stable_id(f"USB Audio: - (hw:{card},{pcm})", "ALSA", root) == expected
        assert usb_port(f"USB Audio: - (hw:{card},{pcm})", root) == "1-2"


def test_a_built_in_card_is_identified_by_its_card_id(tmp_path: Path) -> None:
    folder = tmp_path / "class" / "sound" / "card0"
    folder.mkdir(parents=True)
    (folder / "id").write_text("PCH\n")
    assert stable_id("HDA Intel PCH: ALC255 Analog (hw:0,0)", "ALSA", tmp_path) == "card:PCH"


def test_a_pcm_without_a_card_is_identified_by_its_name(tmp_path: Path) -> None:
    assert stable_id("pulse", "ALSA", tmp_path) == "alsa:pulse"


def test_devices_are_listed_with_everything_a_configuration_needs(
    virtual_microphones: MakeMicrophones,
) -> None:
    virtual_microphones(
        pump=VirtualSound(noise(1, 48000), 48000),
        fan=VirtualSound(noise(1, 16000, channels=2), 16000),
        lathe=VirtualSound(noise(1, 16000), 16000, plugged=False),
    )
    listed = {mic.name: mic for mic in list_microphones()}
    pump, fan = listed["pump"], listed["fan"]
    assert (pump.channels, pump.default_rate_hz, pump.rates_hz) == (1, 48000, (48000,))
    assert (fan.channels, fan.default_rate_hz, fan.rates_hz) == (2, 16000, (16000,))
    assert (pump.stable_id, pump.host_api) == ("alsa:pump", "ALSA")
    assert [mic.name for mic in listed.values() if mic.index is not None][:2] == ["pump", "fan"]
    assert "lathe" not in listed
    assert [mic.is_default for mic in listed.values()].count(True) == 1


def test_the_command_prints_a_table(
    virtual_microphones: MakeMicrophones, capfd: pytest.CaptureFixture[str]
) -> None:
    virtual_microphones(pump=VirtualSound(noise(1, 48000), 48000))
    devices()
    printed, errors = capfd.readouterr()
    assert "(default)" in printed
    assert "48000*" in printed
    assert "alsa:pump" in printed
    assert errors == ""


def test_the_command_prints_one_json_document(
    virtual_microphones: MakeMicrophones, capfd: pytest.CaptureFixture[str]
) -> None:
    virtual_microphones(pump=VirtualSound(noise(1, 48000), 48000))
    devices(as_json=True)
    (pump,) = (mic for mic in json.loads(capfd.readouterr().out) if mic["name"] == "pump")
    assert pump["stable_id"] == "alsa:pump"
    assert pump["rates_hz"] == [48000]


@pytest.mark.skipif(bool(list(Path("/proc/asound").glob("card*"))), reason="has a sound card")
def test_without_microphones_the_list_is_empty_and_an_error_gives_a_hint(
    virtual_microphones: MakeMicrophones, capfd: pytest.CaptureFixture[str]
) -> None:
    virtual_microphones(pump=VirtualSound(noise(1, 48000), 48000, plugged=False))
    with pytest.raises(SourceError, match="no microphone found"):
        devices(as_json=True)
    assert json.loads(capfd.readouterr().out) == []


def test_a_crash_of_the_sound_system_is_reported_as_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "asound.conf"
    empty.write_text("")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(empty))
    with pytest.raises(SourceError, match="PortAudio could not list its devices"):
        list_microphones()


PRINTING_LIBRARY = """
import os
from types import SimpleNamespace

os.write(1, b"jack server is not running or cannot be started\\n")
default = SimpleNamespace(device=(-1, -1))
query_hostapis = tuple


def query_devices():
    os.write(1, b"another line\\n")
    return ()
"""


def test_output_of_sound_libraries_is_not_part_of_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sounddevice.py").write_text(PRINTING_LIBRARY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert list_microphones() == []
