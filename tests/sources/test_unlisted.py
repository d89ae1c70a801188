"""Microphones in use are distinguished from absent ones, with the program that uses them."""

import errno
import os
from pathlib import Path

import pytest

from asd_monitor.records import SourceState
from asd_monitor.sources.microphone.devices import list_microphones
from asd_monitor.sources.microphone.selection import (
    AmbiguousDeviceError,
    UnavailableDeviceError,
    resolve_device,
)
from asd_monitor.sources.microphone.unlisted import describe_process, find_unlisted
from tests.rig.listening import noise
from tests.rig.microphone_process import RATE_HZ, capture_process, listening
from tests.rig.virtual_microphone import MakeMicrophones, VirtualSound

USB_NAME = "USB Audio Device: USB Audio (hw:1,0)"


def make_card(root: Path, status: str) -> None:
    """Write what the kernel says in /proc about a USB card that captures."""
    (root / "asound").mkdir()
    (root / "asound" / "cards").write_text(
        " 1 [Device         ]: USB-Audio - USB Audio Device\n"
        "                      C-Media at usb-0000:00:14.0-2, full speed\n"
    )
    pcm = root / "asound" / "card1" / "pcm0c"
    (pcm / "sub0").mkdir(parents=True)
    (pcm / "info").write_text("card: 1\ndevice: 0\nstream: CAPTURE\nname: USB Audio\n")
    (pcm / "sub0" / "status").write_text(status)


def unlisted(root: Path, listed: tuple[str, ...] = (), error: int = 0) -> list[tuple[str, str]]:
    devices = find_unlisted(listed, [], proc_root=root, open_error=lambda _: error)
    return [(device.name, device.reason) for device in devices]


def test_a_card_in_use_is_reported_with_the_program_that_the_kernel_names(tmp_path: Path) -> None:
    make_card(tmp_path, "state: RUNNING\nowner_pid   : 4711\ntrigger_time: 1.0\n")
    (tmp_path / "4711").mkdir()
    (tmp_path / "4711" / "comm").write_text("arecord\n")
    assert unlisted(tmp_path) == [(USB_NAME, "in use by arecord (process 4711)")]
    assert unlisted(tmp_path, (USB_NAME,)) == []


def test_a_capture_process_is_reported_as_its_monitor(tmp_path: Path) -> None:
    folder = tmp_path / "812"
    folder.mkdir()
    module = "asd_monitor.sources.microphone.capture_main"
    (folder / "cmdline").write_text(f"python\0-m\0{module}\0{{}}\0")
    (folder / "status").write_text("Name:\tpython\nPPid:\t800\n")
    assert describe_process(812, tmp_path) == "asd-monitor (process 800)"
    assert describe_process(os.getpid()).endswith(f"(process {os.getpid()})")
    assert describe_process(813, tmp_path) == "process 813"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (-errno.EBUSY, "in use by another program"),
        (-errno.EACCES, "this user may not open it (group `audio`)"),
        (-errno.EIO, "it cannot be opened: Input/output error"),
    ],
)
def test_a_card_that_cannot_be_opened_is_reported_with_the_reason(
    tmp_path: Path, error: int, reason: str
) -> None:
    make_card(tmp_path, "closed\n")
    assert unlisted(tmp_path, error=error) == [(USB_NAME, reason)]


def test_a_microphone_in_use_is_listed_without_an_index_and_is_not_called_absent(
    virtual_microphones: MakeMicrophones,
) -> None:
    virtual_microphones(
        pump=VirtualSound(noise(5, RATE_HZ), RATE_HZ, exclusive=True),
        fan=VirtualSound(noise(5, RATE_HZ, seed=1), RATE_HZ),
    )
    with listening("pump") as first:
        first.until_more(1)
        present = list_microphones()
        with listening("alsa:pump") as second:
            health = second.until_state(SourceState.MISSING)
        assert "in use by another program" in health.reason
        assert "not found" not in health.reason
    (pump,) = (mic for mic in present if mic.name == "pump")
    assert (pump.index, pump.unavailable) == (None, "in use by another program")
    with pytest.raises(UnavailableDeviceError, match="in use by another program"):
        resolve_device("pump", present)
    (fan,) = (mic for mic in present if mic.name == "fan")
    assert fan.index is not None
    with pytest.raises(AmbiguousDeviceError, match=r"it is \d 'fan'.*shifted.*'pump'.*by its id"):
        resolve_device(fan.index, present)
    assert resolve_device("fan", present) == fan


def test_a_microphone_in_use_is_opened_when_it_becomes_free(
    virtual_microphones: MakeMicrophones,
) -> None:
    virtual_microphones(pump=VirtualSound(noise(5, RATE_HZ), RATE_HZ, exclusive=True))
    with listening("pump") as first:
        first.until_more(1)
        holder = capture_process()
        with listening("pump") as second:
            second.until_state(SourceState.MISSING)
            first.source.close()
            assert not holder.is_running()
            second.until_state(SourceState.RUNNING)
