"""The doctor finds each problem, reports it in one sentence, and ends with its exit code."""

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from paho.mqtt import publish

from asd_monitor import __version__
from asd_monitor.config import from_options
from asd_monitor.doctor import (
    clock,
    delivery,
    model,
    notifications,
    runtime,
    sound,
    state_folder,
    systemd,
)
from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, Status, failed, ok, warning
from asd_monitor.doctor.runner import Check, exit_code, run_checks
from asd_monitor.errors import ConfigError, SinkError, SourceError, StateError
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sinks.mqtt.node_info import NodeInfo, make_host_id
from asd_monitor.sinks.mqtt.sparkplug.schema import payload_class
from asd_monitor.sinks.prometheus.settings import PrometheusSettings
from asd_monitor.sinks.prometheus.sink import PrometheusSink
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.microphone_process import listening
from tests.rig.mosquitto import Collector, Mosquitto, free_port
from tests.rig.sparkplug import needs_protobuf
from tests.rig.toy_model import save_toy
from tests.rig.virtual_microphone import (
    MakeMicrophones,
    PcmArray,
    VirtualSound,
)

RATE_HZ = 16000


def make_context(
    *,
    uses_default_microphone: bool = False,
    **options: object,
) -> Context:
    machine = {"mic": "pump"} | cast("dict[str, object]", options.pop("machine", {}))
    settings = from_options({"machines": {"pump": machine}} | options)
    return Context(
        settings,
        uses_default_microphone=uses_default_microphone,
    )


def pcm(level_dbfs: float, seconds: float = 3.0, offset: float = 0.0) -> PcmArray:
    """Return white noise as a sound card would deliver it."""
    random = np.random.default_rng(3)
    samples = 10 ** (level_dbfs / 20) * random.standard_normal(round(seconds * RATE_HZ)) + offset
    return (32767 * np.clip(samples, -1, 1)).astype(np.int16)


def only(findings: list[Finding], check: str) -> Finding:
    (finding,) = (finding for finding in findings if finding.check == check)
    return finding


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


def test_an_intact_model_is_timed(tmp_path: Path) -> None:
    path = save_toy(tmp_path / "toy.asd")
    findings = model.check_models(make_context(machine={"model": str(path), "target": "fan"}))
    assert {finding.status for finding in findings} == {Status.OK}
    speed = only(findings, "model speed")
    assert speed.facts["microphones"] is not None
    assert 0 < float(speed.facts["real_time_factor"] or 0.0) < 1


def test_a_damaged_model_fails(tmp_path: Path) -> None:
    path = save_toy(tmp_path / "toy.asd")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (finding,) = model.check_models(make_context(machine={"model": str(path)}))
    assert (finding.status, finding.exit_code) == (Status.FAILED, 3)


def test_a_missing_model_fails(tmp_path: Path) -> None:
    (finding,) = model.check_models(make_context(machine={"model": str(tmp_path / "none.asd")}))
    assert (finding.status, finding.exit_code) == (Status.FAILED, 3)


def test_a_target_that_the_model_does_not_have_fails(tmp_path: Path) -> None:
    path = save_toy(tmp_path / "toy.asd")
    findings = model.check_models(make_context(machine={"model": str(path), "target": "valve"}))
    assert Status.FAILED in {finding.status for finding in findings if finding.check == "model"}


def test_a_target_of_a_machine_that_is_to_be_learned_fails(tmp_path: Path) -> None:
    context = make_context(machine={"target": "valve"}, state_dir=str(tmp_path))
    (finding,) = model.check_models(context)
    assert (finding.status, finding.exit_code) == (Status.FAILED, ConfigError.exit_code)
    assert finding.hint.startswith("leave the target out")


@pytest.mark.parametrize(("learns", "status"), [(True, Status.OK), (False, Status.FAILED)])
def test_a_machine_without_a_model_is_learned_or_refused(
    learns: bool, status: Status, tmp_path: Path
) -> None:
    (finding,) = model.check_models(
        make_context(state_dir=str(tmp_path), learn={"enabled": learns})
    )
    assert finding.status is status


def test_a_broker_that_accepts_messages_is_ok(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        findings = delivery.check_mqtt(
            make_context(mqtt={"host": "127.0.0.1", "port": broker.port})
        )
    assert [finding.check for finding in findings] == [
        "mqtt dns",
        "mqtt tcp",
        "mqtt login",
        "mqtt publish",
        "mqtt node",
    ]
    assert {finding.status for finding in findings} == {Status.OK}


@needs_protobuf
def test_the_edge_node_of_sparkplug_is_named(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        options = {"host": "127.0.0.1", "port": broker.port, "sparkplug": {"group": "site1"}}
        finding = delivery.check_mqtt(make_context(mqtt=options))[-1]
    assert (finding.check, finding.status) == ("mqtt sparkplug", Status.OK)
    assert "edge node site1/" in finding.message


def test_sparkplug_without_its_package_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload_class.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with Mosquitto(tmp_path) as broker:
        options = {"host": "127.0.0.1", "port": broker.port, "sparkplug": {}}
        finding = delivery.check_mqtt(make_context(mqtt=options))[-1]
    assert (finding.check, finding.status) == ("mqtt sparkplug", Status.FAILED)
    assert "asd-monitor[sparkplug]" in finding.message


def test_an_absent_broker_fails() -> None:
    options = {"host": "127.0.0.1", "port": free_port()}
    finding = delivery.check_mqtt(make_context(mqtt=options))[-1]
    assert (finding.check, finding.status, finding.exit_code) == ("mqtt tcp", Status.FAILED, 6)
    assert finding.hint


def test_a_broker_that_is_not_named_is_not_looked_for() -> None:
    (finding,) = delivery.check_mqtt(make_context())
    assert finding.status is Status.OK
    assert "no broker is named" in finding.message


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize("option", ["max_packet_size", "message_size_limit"])
def test_a_broker_that_refuses_messages_of_full_size_fails(
    tmp_path: Path, option: str, protocol: str
) -> None:
    with Mosquitto(tmp_path, f"{option} 500") as broker:
        options = {"host": "127.0.0.1", "port": broker.port, "protocol": protocol}
        finding = delivery.check_mqtt(make_context(mqtt=options))[-1]
    assert (finding.check, finding.status) == ("mqtt publish", Status.FAILED)
    assert option in finding.hint


def test_a_user_who_may_not_read_is_warned_about(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write #\n")
    with Mosquitto(tmp_path, f"acl_file {acl}") as broker:
        findings = delivery.check_mqtt(
            make_context(mqtt={"host": "127.0.0.1", "port": broker.port})
        )
    publishing = next(finding for finding in findings if finding.check == "mqtt publish")
    assert publishing.status is Status.WARNING
    assert "read" in publishing.hint


@pytest.mark.parametrize(
    ("host_id", "status"), [("feed", Status.WARNING), (make_host_id(), Status.OK)]
)
def test_another_computer_with_the_same_node_name_is_warned_about(
    tmp_path: Path, host_id: str, status: Status
) -> None:
    info = NodeInfo("plant", "other", "press-7", host_id, "asd-1", 0.0, ("fan",))
    with Mosquitto(tmp_path) as broker:
        retained = [("asd/plant/status", b"online"), ("asd/plant/info", info.encode())]
        publish.multiple(
            [(topic, payload, 1, True) for topic, payload in retained], "127.0.0.1", broker.port
        )
        options = {"host": "127.0.0.1", "port": broker.port}
        finding = delivery.check_mqtt(make_context(node="plant", mqtt=options))[-1]
        with Collector(broker.port) as late:
            late.wait_for("plant/info")
            assert {message.topic for message in late.messages} == dict(retained).keys()
    assert (finding.check, finding.status) == ("mqtt node", status)


def test_a_wrong_password_fails_at_the_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = tmp_path / "users"
    users.touch(0o600)
    subprocess.run(["mosquitto_passwd", "-b", users, "monitor", "right"], check=True)
    monkeypatch.setenv("MQTT_PASSWORD", "wrong")
    with Mosquitto(tmp_path, f"password_file {users}", anonymous=False) as broker:
        options = {"host": "127.0.0.1", "port": broker.port, "username": "monitor"}
        findings = delivery.check_mqtt(
            make_context(mqtt=options | {"password_env": "MQTT_PASSWORD"})
        )
    assert (findings[-1].check, findings[-1].status) == ("mqtt login", Status.FAILED)
    assert findings[-1].exit_code == SinkError.exit_code
    assert "wrong" not in findings[-1].message


def test_a_port_in_use_by_another_program_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        (finding,) = delivery.check_metrics_port(
            make_context(prometheus={"port": other.getsockname()[1]})
        )
    assert (finding.status, finding.exit_code) == (Status.FAILED, SinkError.exit_code)
    assert "another program uses the port" in finding.message


def test_a_port_in_use_by_a_running_monitor_is_ok() -> None:
    from prometheus_client import CollectorRegistry

    sink = PrometheusSink(PrometheusSettings(port=0), Metrics(CollectorRegistry()))
    sink.open()
    try:
        (finding,) = delivery.check_metrics_port(make_context(prometheus={"port": sink.port}))
    finally:
        sink.close()
    assert finding.status is Status.OK
    assert "already" in finding.message


def test_a_free_port_is_ok_and_free_again_afterwards() -> None:
    port = free_port()
    for _ in range(2):
        (finding,) = delivery.check_metrics_port(make_context(prometheus={"port": port}))
        assert finding.status is Status.OK


def test_a_state_folder_that_can_be_created_is_ok_and_not_created(tmp_path: Path) -> None:
    findings = state_folder.check_state(make_context(state_dir=str(tmp_path / "a" / "b")))
    assert only(findings, "state folder").status is Status.OK
    assert float(only(findings, "disk").facts["hours"] or 0.0) > 0
    assert not list(tmp_path.iterdir())


def test_a_file_at_the_path_of_the_state_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    (finding,) = state_folder.check_state(make_context(state_dir=str(tmp_path / "state" / "here")))
    assert (finding.status, finding.exit_code) == (Status.FAILED, StateError.exit_code)


def test_a_state_folder_that_cannot_be_written_fails() -> None:
    # Not even root can write there.
    (finding,) = state_folder.check_state(make_context(state_dir="/proc/self"))
    assert (finding.status, finding.exit_code) == (Status.FAILED, StateError.exit_code)


@pytest.mark.parametrize("at", [0.0, 5e9])
def test_an_implausible_year_fails(at: float) -> None:
    (finding,) = clock.check_clock(wall=lambda: at)
    assert finding.status is Status.FAILED


def test_a_clock_that_is_set_during_the_check_is_reported() -> None:
    times = iter([1.8e9, 1.8e9 + 60])
    (finding,) = clock.check_clock(wall=lambda: next(times), monotonic=lambda: 0.0)
    assert finding.status is Status.WARNING
    assert "+60.0 s" in finding.message


@pytest.mark.parametrize(
    ("in_step", "status"), [(True, Status.OK), (False, Status.WARNING), (None, Status.OK)]
)
def test_a_clock_that_is_not_synchronised_is_reported(in_step: bool | None, status: Status) -> None:
    (finding,) = clock.check_clock(lambda: 1.8e9, lambda: 0.0, lambda: in_step)
    assert finding.status is status


def test_the_kernel_is_asked_whether_the_clock_is_synchronised() -> None:
    assert clock.is_synchronised() in (True, False, None)


def test_outside_of_systemd_nothing_is_checked() -> None:
    (finding,) = systemd.check_systemd({})
    assert finding.status is Status.OK


def test_a_service_without_notification_or_watchdog_is_reported(tmp_path: Path) -> None:
    silent = systemd.check_systemd({"INVOCATION_ID": "1"})[0]
    unreachable = systemd.check_systemd({"NOTIFY_SOCKET": str(tmp_path / "none")})[0]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        unwatched = systemd.check_systemd(environ)[0]
        watched = systemd.check_systemd(environ | {"WATCHDOG_USEC": "30000000"})[0]
    assert {finding.status for finding in (silent, unreachable, unwatched)} == {Status.WARNING}
    assert watched.status is Status.OK
    assert "30 s" in watched.message


def test_a_missing_gpu_fails_only_if_the_device_is_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    by_device = {
        device: runtime.check_gpu(make_context(device=device))[0] for device in ("auto", "cuda")
    }
    assert by_device["auto"].status is Status.OK
    assert (by_device["cuda"].status, by_device["cuda"].exit_code) == (Status.FAILED, 3)


def test_a_check_that_raises_is_a_finding_and_the_others_still_run() -> None:
    def broken() -> list[Finding]:
        raise ZeroDivisionError

    checks = [Check("broken", broken), Check("working", lambda: [ok("working", "works")])]
    findings = list(run_checks(checks))
    assert [finding.status for finding in findings] == [Status.FAILED, Status.OK]
    assert "ZeroDivisionError" in findings[0].message


def test_a_check_that_hangs_is_abandoned() -> None:
    end = threading.Event()
    checks = [Check("hung", lambda: [ok("hung", str(end.wait(60)))], timeout_s=0.05)]
    (finding,) = run_checks(checks)
    end.set()
    assert finding.status is Status.FAILED
    assert "did not finish" in finding.message


def test_the_exit_code_is_that_of_the_first_failure() -> None:
    findings = [
        warning("a", "could be better", "do it"),
        failed("b", "is wrong", "correct it", StateError),
        failed("c", "is wrong", "correct it", SourceError),
    ]
    assert exit_code(findings) == StateError.exit_code
    assert exit_code(findings[:1]) == 0


def doctor(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "asd_monitor.cli", "doctor", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=150)


def test_the_command_reports_a_working_system_in_one_document(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    virtual_microphones(pump=VirtualSound(pcm(-30.0)))
    document: dict[str, object] = {
        "machines": {
            "pump": {
                "mic": "pump",
                "model": str(save_toy(tmp_path / "toy.asd")),
                "target": "pump",
            }
        },
        "state_dir": str(tmp_path / "state"),
        "prometheus": {"port": free_port()},
        "web": None,
    }
    with Mosquitto(tmp_path) as broker:
        document["mqtt"] = {"host": "127.0.0.1", "port": broker.port}
        config = tmp_path / "monitor.yaml"
        config.write_text(json.dumps(document))
        done = doctor("--config", config, "--json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["exit_code"]) == (0, 0), result
    assert (result["schema"], result["version"]) == (1, __version__)
    checks = {check["check"] for check in result["checks"]}
    assert checks >= {"python", "torch", "portaudio", "pace", "sound", "model speed", "disk"}
    assert "failed" not in {check["status"] for check in result["checks"]}


def test_the_command_prints_line_by_line_and_ends_with_the_code(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    virtual_microphones()
    done = doctor("--mqtt", "off", "--metrics", "off", "--state-dir", tmp_path, "--mic", "0")
    assert done.returncode == SourceError.exit_code
    lines = done.stdout.splitlines()
    assert any(line.startswith("failed   devices") for line in lines)
    assert "-> is it plugged in" in done.stdout
    assert lines[-1].split()[1] == "failed,"
    assert done.stderr == ""


def test_a_wrong_configuration_is_one_line(tmp_path: Path) -> None:
    done = doctor("--config", tmp_path / "none.yaml")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("recipient", "status", "text"),
    [
        ("json://user:hunter2@127.0.0.1:1/x", Status.OK, "the address is valid"),
        ("nosuch://hunter2", Status.FAILED, "expected an address that Apprise knows"),
        ({"url_env": "NO_ADDRESS"}, Status.FAILED, "no variable NO_ADDRESS"),
        ({"url_file": "/nonexistent/hunter2.txt"}, Status.FAILED, "cannot read /nonexistent"),
    ],
)
def test_each_address_of_notifications_is_checked_without_sending(
    recipient: object, status: Status, text: str
) -> None:
    (finding,) = notifications.check_notifications(make_context(notify={"to": [recipient]}))
    assert (finding.check, finding.status) == ("notify", status)
    assert text in finding.message
    assert finding.exit_code == (SinkError.exit_code if status is Status.FAILED else 0)
    if isinstance(recipient, str):
        assert "hunter2" not in finding.message


def test_an_http_server_of_notifications_is_connected_to_only_if_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(0)
        context = make_context(notify={"to": [f"json://127.0.0.1:{port}/x", "ntfy://topic"]})
        notifications.check_notifications(context)
        with pytest.raises(BlockingIOError):
            server.accept()
        reachable, other = notifications.check_notifications(
            replace(context, connects_to_notify=True)
        )
        connection, _ = server.accept()
        connection.settimeout(5)
        assert connection.recv(1) == b""  # nothing was sent
        connection.close()
    assert "can be reached" in reachable.message
    assert "the address is valid" in other.message
    gone = notifications.check_notifications(replace(context, connects_to_notify=True))[0]
    assert (gone.status, gone.exit_code) == (Status.WARNING, 0)
