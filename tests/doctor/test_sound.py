"""Microphones and recordings: each problem is a finding with a hint."""

import os
from pathlib import Path

import numpy as np
import pytest

from asd_monitor.config import from_options
from asd_monitor.doctor import sound
from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Status
from asd_monitor.errors import SourceError
from asd_monitor.runtime.state_dir import StateFolder
from tests.doctor.findings import make_context, only, pcm
from tests.rig.microphone_process import listening
from tests.rig.toy_model import save_toy
from tests.rig.virtual_microphone import MakeMicrophones, VirtualSound


def test_portaudio_is_reported_with_its_version() -> None:
    (finding,) = sound.check_portaudio()
    assert finding.status is Status.OK
    assert "PortAudio V" in finding.message


def test_without_a_microphone_the_devices_fail(virtual_microphones: MakeMicrophones) -> None:
    virtual_microphones()
    (finding,) = sound.check_devices(make_context())
    assert (finding.status, finding.exit_code) == (Status.FAILED, SourceError.exit_code)
    assert "arecord -l" in finding.hint


def test_recordings_need_no_microphone(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    virtual_microphones()
    context = make_context(machine={"mic": None, "wav": str(tmp_path / "none")})
    assert only(sound.check_devices(context), "devices").status is Status.OK
    (missing,) = sound.check_recordings(context)
    assert (missing.status, missing.exit_code) == (Status.FAILED, SourceError.exit_code)


def test_a_good_microphone_opens_keeps_pace_and_delivers_sound(
    virtual_microphones: MakeMicrophones,
) -> None:
    virtual_microphones(pump=VirtualSound(pcm(-30.0)))
    findings = sound.check_capture(make_context())
    assert [finding.check for finding in findings] == ["capture", "pace", "sound"]
    assert {finding.status for finding in findings} == {Status.OK}
    assert only(findings, "sound").facts["level_dbfs"] == pytest.approx(-30.0, abs=0.5)


def test_the_default_microphone_is_checked_if_none_is_named(
    virtual_microphones: MakeMicrophones,
) -> None:
    virtual_microphones(fan=VirtualSound(pcm(-30.0)))
    findings = sound.check_capture(
        make_context(uses_default_microphone=True, machine={"mic": "default"})
    )
    assert "'fan'" in only(findings, "sound").message


def test_a_problem_with_the_sound_is_reported(virtual_microphones: MakeMicrophones) -> None:
    expected = {
        "silent": (Status.FAILED, "digital silence"),
        "muted": (Status.FAILED, "digital silence"),
        "loud": (Status.WARNING, "clips"),
        "offset": (Status.WARNING, "constant offset"),
        "quiet": (Status.WARNING, "very quiet"),
        "other": (Status.FAILED, "but channel 1 has sound"),
    }
    right_only = np.stack([np.zeros_like(pcm(-30.0)), pcm(-30.0)], axis=1)
    mics = virtual_microphones(
        silent=VirtualSound(pcm(-300.0)),
        muted=VirtualSound(pcm(-30.0)),
        loud=VirtualSound(pcm(6.0)),
        offset=VirtualSound(pcm(-30.0, offset=0.3)),
        quiet=VirtualSound(pcm(-80.0)),
        other=VirtualSound(right_only),
    )
    mics["muted"].mute()
    settings = from_options({"machines": {name: {"mic": name} for name in expected}})
    findings = {
        finding.message.partition(":")[0]: finding
        for finding in sound.check_capture(Context(settings))
        if finding.check == "sound"
    }
    assert findings.keys() == expected.keys()
    for name, (status, text) in expected.items():
        finding = findings[name]
        assert (finding.status, text in finding.message, bool(finding.hint)) == (status, True, True)
    assert findings["muted"].exit_code == SourceError.exit_code


def test_sound_on_the_other_channel_is_not_called_muted(
    virtual_microphones: MakeMicrophones,
) -> None:
    stereo = np.stack([pcm(-300.0), pcm(-30.0)], axis=1)
    virtual_microphones(pump=VirtualSound(stereo))
    finding = only(sound.check_capture(make_context()), "sound")
    assert finding.status is Status.FAILED
    assert "channel 1 has sound" in finding.message
    assert "`channel: 1`" in finding.hint
    assert "unmute" not in finding.hint


def test_a_microphone_that_delivers_nothing_fails(
    virtual_microphones: MakeMicrophones,
) -> None:
    virtual_microphones(pump=VirtualSound(pcm(-30.0)))["pump"].freeze()
    (finding,) = sound.check_capture(make_context())
    assert (finding.status, finding.exit_code) == (Status.FAILED, SourceError.exit_code)


def test_a_missing_microphone_fails_with_the_names_of_those_present(
    virtual_microphones: MakeMicrophones,
) -> None:
    virtual_microphones(fan=VirtualSound(pcm(-30.0)))
    (finding,) = sound.check_capture(make_context())
    assert finding.status is Status.FAILED
    assert "'fan'" in finding.message


def test_a_microphone_that_another_program_uses_is_not_called_absent(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    virtual_microphones(pump=VirtualSound(pcm(-30.0), exclusive=True))
    with listening("pump") as user:
        user.until_more(1)
        (finding,) = sound.check_capture(make_context(state_dir=str(tmp_path)))
        assert finding.status is Status.FAILED
        assert "in use by another program" in finding.message
        assert "plug it in" not in finding.hint
        with StateFolder(tmp_path).lock("pump"):
            (finding,) = sound.check_capture(make_context(state_dir=str(tmp_path)))
    assert finding.status is Status.OK
    assert f"running monitor of this machine (process {os.getpid()})" in finding.message


def test_the_device_of_an_index_is_named_and_its_id_is_advised(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    virtual_microphones(pump=VirtualSound(pcm(-30.0)))
    context = make_context(machine={"mic": 0}, state_dir=str(tmp_path))
    finding = only(sound.check_capture(context), "microphone")
    assert finding.status is Status.WARNING
    assert "microphone 0 is 'pump' (id alsa:pump)" in finding.message
    assert "use the id" in finding.hint


def test_another_microphone_than_the_learned_one_fails(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    virtual_microphones(pump=VirtualSound(pcm(-30.0)))
    learned = [{"id": "alsa:other", "name": "other", "port": ""}]
    (tmp_path / "models").mkdir()
    save_toy(tmp_path / "models" / "pump.asd", {"training": {"microphones": learned}})
    for device, text in (("pump", "is not used instead"), ("alsa:pump", "--accept-microphone")):
        context = make_context(machine={"mic": device}, state_dir=str(tmp_path))
        (finding,) = sound.check_capture(context)
        assert (finding.status, finding.exit_code) == (Status.FAILED, SourceError.exit_code)
        assert "'other' (id alsa:other)" in finding.message
        assert text in finding.message
