"""A machine is monitored with the microphone that it was learned with, or with an accepted one."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.config import Config, from_options
from asd_monitor.errors import ConfigError, SourceError
from asd_monitor.records import SourceHealth, SourceState
from asd_monitor.runtime.builder import MonitorHandle, build_monitor
from asd_monitor.runtime.learned_microphones import RecordedWith
from asd_monitor.runtime.microphones import accept_microphones, choose_microphone, describe_uses
from asd_monitor.runtime.runs import archive_recordings
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sources.microphone.devices import (
    Microphone,
    list_microphones,
    with_unique_ids,
)
from asd_monitor.sources.microphone.identity import MicrophoneIdentity
from asd_monitor.sources.microphone.selection import AmbiguousDeviceError
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from tests.rig.listening import noise
from tests.rig.microphone_process import RATE_HZ, capture_process, listening
from tests.rig.mosquitto import wait_until
from tests.rig.toy_model import save_toy
from tests.rig.virtual_microphone import (
    MakeMicrophones,
    VirtualMicrophones,
    VirtualSound,
)

LEARNED = MicrophoneIdentity("alsa:left", "left")


def two_microphones(make: MakeMicrophones, **left: bool) -> VirtualMicrophones:
    return make(
        left=VirtualSound(noise(5, RATE_HZ), RATE_HZ, **left),
        right=VirtualSound(noise(5, RATE_HZ, seed=1), RATE_HZ),
    )


def index_of(name: str) -> int:
    (index,) = (mic.index for mic in list_microphones() if mic.name == name)
    assert index is not None
    return index


def make_config(folder: Path, device: int | str, **mic: object) -> Config:
    return from_options(
        {
            "machines": {"pump": {"mic": {"device": device, "latency_s": 0.3, **mic}}},
            "state_dir": str(folder),
            "mqtt": None,
            "prometheus": None,
            "web": None,
        }
    )


def learned_with_left(folder: Path) -> Path:
    """Write a model that was learned with the left microphone into the state folder."""
    (folder / "models").mkdir(parents=True)
    training = {"microphones": [LEARNED.to_dict()]}
    save_toy(folder / "models" / "pump.asd", {"training": training})
    return folder


@contextmanager
def monitoring(config: Config) -> Iterator[MonitorHandle]:
    handle = build_monitor(config)
    try:
        handle.monitor.start()
        yield handle
    finally:
        handle.close()


def wait_for_health(handle: MonitorHandle, state: SourceState) -> SourceHealth:
    source = handle.monitor.pipelines[0].source
    wait_until(lambda: source.health().state is state, f"health {state}")
    return source.health()


@pytest.mark.parametrize("by", ["index", "name", "id"])
def test_another_microphone_than_the_learned_one_is_refused_and_both_are_named(
    virtual_microphones: MakeMicrophones, tmp_path: Path, by: str
) -> None:
    two_microphones(virtual_microphones)
    devices: dict[str, int | str]
    devices = {"index": index_of("right"), "name": "right", "id": "alsa:right"}
    with pytest.raises(
        SourceError, match=r"'left' \(id alsa:left\).*'right' \(id alsa:right\)"
    ) as error:
        build_monitor(make_config(learned_with_left(tmp_path), devices[by]))
    for advice in ("--mic alsa:left", "learn --fresh", "--accept-microphone alsa:right"):
        assert advice in str(error.value)


@pytest.mark.parametrize("by", ["configuration", "command line"])
def test_an_accepted_microphone_is_used_and_named_in_the_log_and_the_health(
    virtual_microphones: MakeMicrophones,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    by: str,
) -> None:
    two_microphones(virtual_microphones)
    config = make_config(learned_with_left(tmp_path), "right", accept_microphone="alsa:right")
    if by == "command line":
        config = make_config(tmp_path, "right")
        config = accept_microphones(config, ["alsa:right"])
    with caplog.at_level(logging.WARNING), monitoring(config) as handle:
        health = wait_for_health(handle, SourceState.RUNNING)
    expected = "learned with 'left' (id alsa:left); 'right' (id alsa:right) is used instead"
    assert expected in health.reason
    assert expected in caplog.text


def test_only_the_accepted_microphone_is_accepted(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    two_microphones(virtual_microphones)
    config = make_config(learned_with_left(tmp_path), "right", accept_microphone=["alsa:other"])
    with pytest.raises(SourceError, match="learned with microphone 'left'"):
        build_monitor(config)


def test_a_learned_microphone_that_is_absent_is_waited_for_and_no_other_is_opened(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    mics = two_microphones(virtual_microphones, plugged=False)
    config = make_config(learned_with_left(tmp_path), index_of("right"))
    with monitoring(config) as handle:
        health = wait_for_health(handle, SourceState.MISSING)
        assert "'left' (id alsa:left), which is waited for" in health.reason
        assert "'right' (id alsa:right) now, and is not used instead" in health.reason
        assert health.samples == 0
        mics["left"].restore()
        assert wait_for_health(handle, SourceState.RUNNING).device == "left"


def test_a_learned_microphone_that_another_monitor_uses_is_waited_for(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    two_microphones(virtual_microphones, exclusive=True)
    index = index_of("left")
    with listening("left") as other:
        other.until_more(1)
        assert index_of("right") == index  # a card in use leaves PortAudio's list
        with pytest.raises(AmbiguousDeviceError, match="shifted"):
            build_monitor(make_config(tmp_path / "not learned", index))
        with monitoring(make_config(learned_with_left(tmp_path), "left")) as handle:
            assert (
                "in use by another program" in wait_for_health(handle, SourceState.MISSING).reason
            )
            other.source.close()
            wait_for_health(handle, SourceState.RUNNING)


def test_a_part_of_a_name_never_selects_another_microphone_while_the_monitor_runs(
    virtual_microphones: MakeMicrophones,
) -> None:
    mics = virtual_microphones(
        mic_one=VirtualSound(noise(5, RATE_HZ), RATE_HZ),
        mic_two=VirtualSound(noise(5, RATE_HZ, seed=1), RATE_HZ, plugged=False),
    )
    with listening("mic") as listener:
        listener.until_more(1)
        mics["mic_two"].restore()
        mics["mic_one"].unplug()
        health = listener.until_state(SourceState.MISSING)
        assert "'mic' was not found" in health.reason
        assert "'mic_two'" in health.reason
        mics["mic_one"].restore()
        assert listener.until_state(SourceState.RUNNING).device == "mic_one"


def test_recordings_of_another_microphone_are_not_mixed_when_learning_is_resumed(
    virtual_microphones: MakeMicrophones, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_monitor.runtime.commissioning.CLIP_S", 0.5)
    two_microphones(virtual_microphones)
    state = StateFolder(tmp_path)
    folder = state.recordings_path("pump").parent
    with monitoring(make_config(tmp_path, index_of("left"))):
        wait_until(lambda: any(folder.rglob("*.wav")), "a recording")
    assert RecordedWith(folder).microphones == [LEARNED]
    for relearn in (False, True):
        with pytest.raises(SourceError, match=r"'left' .*learn --fresh"):
            build_monitor(make_config(tmp_path, "right"), relearn=relearn)
    archive_recordings(state, "pump")
    build_monitor(make_config(tmp_path, "right")).close()


def test_check_says_which_microphone_an_index_is_and_advises_its_id(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    two_microphones(virtual_microphones)
    index, present = index_of("right"), list_microphones()
    state = StateFolder(tmp_path)
    text = describe_uses(make_config(tmp_path, index), state, present)["pump"]
    assert f"microphone {index} is 'right' (id alsa:right), channel 0; write `alsa:right`" in text
    refused = make_config(learned_with_left(tmp_path), index)
    assert "learned with microphone 'left'" in describe_uses(refused, state, present)["pump"]


def test_inspect_names_the_microphone_of_a_model(tmp_path: Path) -> None:
    path = learned_with_left(tmp_path) / "models" / "pump.asd"
    printed = CliRunner().invoke(create_app(), ["inspect", str(path)]).output
    assert re.search(r"microphone +'left' \(id alsa:left\)", printed)


def usb(index: int, serial: str, port: str) -> Microphone:
    name = f"USB Audio: - (hw:{index},0)"
    return Microphone(index, name, "ALSA", 1, 48000, (), f"usb:0d8c:0014{serial}", False, port)


USB = MicrophoneSettings(device="USB Audio")


def test_a_name_that_several_microphones_share_means_the_learned_one() -> None:
    present = [usb(0, ":A", "1-2"), usb(1, ":B", "1-3")]
    learned = [MicrophoneIdentity.of(present[1])]
    assert choose_microphone("pump", USB, present, learned).microphone == present[1]
    with pytest.raises(AmbiguousDeviceError):
        choose_microphone("pump", USB, present, [])


def test_a_microphone_with_a_serial_number_may_move_to_another_port_and_that_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    learned = [MicrophoneIdentity.of(usb(0, ":A", "1-2"))]
    moved = usb(0, ":A", "1-3")
    assert choose_microphone("pump", USB, [moved], learned).microphone == moved
    assert "was at USB port 1-2 when the machine was learned and is at 1-3 now" in caplog.text


def test_a_microphone_without_a_serial_number_at_another_port_is_another_one() -> None:
    learned = [MicrophoneIdentity.of(usb(0, "@1-2", "1-2"))]
    choice = choose_microphone("pump", USB, [usb(0, "@1-3", "1-3")], learned)
    assert choice.microphone is None
    assert choice.settings.device == "usb:0d8c:0014@1-2"
    assert "usb:0d8c:0014@1-3) now, and is not used instead" in choice.missing_hint


@pytest.mark.parametrize("port", ["1-2", "1-3"])
def test_of_two_microphones_with_one_serial_number_the_one_at_the_learned_port_is_used(
    port: str,
) -> None:
    alone = usb(0, ":0", port)
    both = with_unique_ids([usb(0, ":0", "1-2"), usb(1, ":0", "1-3")])
    choice = choose_microphone("pump", USB, both, [MicrophoneIdentity.of(alone)])
    assert choice.settings.device == f"usb:0d8c:0014:0@{port}"
    learned_of_both = [MicrophoneIdentity.of(mic) for mic in both if mic.port == port]
    assert choose_microphone("pump", USB, [alone], learned_of_both).microphone == alone
    other = replace(alone, port="1-9")
    assert choose_microphone("pump", USB, [other], learned_of_both).microphone is None


def test_check_warns_of_a_microphone_that_the_sound_server_chooses(tmp_path: Path) -> None:
    present = [Microphone(0, "default", "ALSA", 2, 48000, (), "alsa:default", True)]
    text = describe_uses(make_config(tmp_path, "default"), StateFolder(tmp_path), present)["pump"]
    assert "the sound server decides which microphone that is" in text


def test_a_model_that_does_not_say_its_microphone_is_used_with_any(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    two_microphones(virtual_microphones)
    (tmp_path / "models").mkdir()
    save_toy(tmp_path / "models" / "pump.asd")
    build_monitor(make_config(tmp_path, "right")).close()


def two_channels(folder: Path, **fan: object) -> Config:
    """Return a configuration of two machines on the channels of one card."""
    mics = {
        "pump": {"device": "card", "channel": 0, "latency_s": 0.3},
        "fan": {"device": "alsa:card", "channel": 1, "latency_s": 0.2, **fan},
    }
    machines = {name: {"mic": mic} for name, mic in mics.items()}
    sinks = {"mqtt": None, "prometheus": None, "web": None}
    return from_options({"machines": machines, "state_dir": str(folder), **sinks})


def test_two_machines_on_one_card_are_both_monitored_and_check_says_that_they_share_it(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    sound = VirtualSound(noise(5, RATE_HZ, channels=2), RATE_HZ, exclusive=True)
    virtual_microphones(card=sound)
    config = two_channels(tmp_path)
    texts = describe_uses(config, StateFolder(tmp_path), list_microphones())
    assert texts["pump"].endswith("(id alsa:card), channel 0, captured together with fan")
    assert texts["fan"].endswith("channel 1, captured together with pump")
    with monitoring(config) as handle:
        sources = [pipeline.source for pipeline in handle.monitor.pipelines]
        wait_until(lambda: all(source.health().samples for source in sources), "sound")
        capture_process()  # raises unless there is exactly one


def test_machines_on_one_card_that_want_different_rates_are_refused(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    virtual_microphones(card=VirtualSound(noise(5, RATE_HZ, channels=2), RATE_HZ))
    config = two_channels(tmp_path, rate_hz=48000)
    pump = config.machines["pump"]
    settings = MicrophoneSettings(device="card", rate_hz=44100)
    machines = {**config.machines, "pump": pump.model_copy(update={"mic": settings})}
    with pytest.raises(ConfigError, match=r"pump, fan: they share .* 44100 and 48000; give one"):
        build_monitor(config.model_copy(update={"machines": machines}))
