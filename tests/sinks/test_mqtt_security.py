"""Passwords, TLS and the broker check, against a real mosquitto."""

import gc
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho
from prometheus_client import CollectorRegistry

from asd_monitor.errors import SinkError
from asd_monitor.sinks.mqtt.check import check_broker
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sink import MqttSink
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.mqtt_sinks import FAST_RECONNECT
from tests.rig.paths import CONFIGS
from tests.rig.ports import free_port
from tests.rig.records import scored_window

PASSWORD = "s3cret: with spaces and ümlaut"  # noqa: S105


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def certificate(folder: Path, name: str, subject: str, ca: str | None, extra: str) -> None:
    """Make a key and a certificate signed by ``ca``, or by itself."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    signer = ["-CA", folder / f"{ca}.pem", "-CAkey", folder / f"{ca}.key"] if ca else []
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    new = ["req", "-x509", *curve, "-subj", f"/CN={subject}", "-days", 2, "-addext", extra]
    openssl(*new, *signer, "-keyout", key, "-out", cert)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    for ca in ("ca", "other"):
        certificate(folder, ca, f"test {ca}", None, "keyUsage=keyCertSign")
    certificate(folder, "server", "broker", "ca", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    certificate(folder, "elsewhere", "broker", "ca", "subjectAltName=DNS:elsewhere.example")
    certificate(folder, "client", "press-7", "ca", "extendedKeyUsage=clientAuth")
    certificate(folder, "stranger", "press-7", "other", "extendedKeyUsage=clientAuth")
    return folder


def tls_broker(folder: Path, pki: Path, more: str = "", server: str = "server") -> Mosquitto:
    files = f"cafile {pki}/ca.pem\ncertfile {pki}/{server}.pem\nkeyfile {pki}/{server}.key\n"
    return Mosquitto(folder, files + more)


@pytest.fixture
def password_broker(tmp_path: Path) -> Iterator[Mosquitto]:
    users = tmp_path / "users"
    users.touch()
    subprocess.run(["mosquitto_passwd", "-b", str(users), "press", PASSWORD], check=True)
    with Mosquitto(tmp_path, f"password_file {users}", anonymous=False) as broker:
        yield broker


def sink_for(port: int, **settings: Any) -> MqttSink:  # noqa: ANN401
    metrics = Metrics(CollectorRegistry())
    return MqttSink(MqttSettings(port=port, **(FAST_RECONNECT | settings)), metrics, node="plant")


def assert_publishes(sink: MqttSink) -> None:
    sink.open()
    try:
        wait_until(lambda: sink.connected, "the connection")
        sink.emit(scored_window(0))
        wait_until(lambda: sink.counts().scores_published == 1, "the score")
    finally:
        sink.close()


def failure_of(sink: MqttSink) -> str:
    sink.open()
    try:
        wait_until(lambda: sink.failure != "", "a failure")
        return sink.failure
    finally:
        sink.close()
        gc.collect()  # a socket left open would cause a ResourceWarning here


@pytest.mark.parametrize("written", [f"{PASSWORD}\n", f"\ufeff{PASSWORD}\r\n"])
def test_password_from_a_file(password_broker: Mosquitto, tmp_path: Path, written: str) -> None:
    path = tmp_path / "password"
    path.write_text(written, encoding="utf-8", newline="")
    assert_publishes(sink_for(password_broker.port, username="press", password_file=path))


def test_password_from_the_environment(
    password_broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", PASSWORD)
    assert_publishes(
        sink_for(password_broker.port, username="press", password_env="BROKER_PASSWORD")  # noqa: S106
    )


def test_password_from_a_service_credential(
    password_broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mqtt-password").write_text(PASSWORD)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert_publishes(
        sink_for(password_broker.port, username="press", password_file=Path("mqtt-password"))
    )


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_wrong_password_is_reported_once_and_a_corrected_one_works(
    password_broker: Mosquitto, tmp_path: Path, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "password"
    path.write_text("wrong-one")
    path.chmod(0o600)
    settings: dict[str, Any] = {"username": "press", "password_file": path, "protocol": protocol}
    registry = CollectorRegistry()
    sink = MqttSink(
        MqttSettings(port=password_broker.port, **(FAST_RECONNECT | settings)),
        Metrics(registry),
        node="plant",
    )
    sink.open()
    refused = "asd_mqtt_failures_total"
    wait_until(
        lambda: (registry.get_sample_value(refused, {"reason": "login"}) or 0) >= 3, "attempts"
    )
    assert "refused the login" in sink.failure
    path.write_text(PASSWORD)
    wait_until(lambda: sink.connected, "the connection")
    sink.close()
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "wrong-one" not in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"username": "u", "password_env": "ASD_NOT_SET"},
        {"username": "u", "password_file": Path("no/such/file")},
        {"tls": {"ca_file": Path("no/such/file")}},
        {"tls": {"cert_file": Path("no/such/file")}},
    ],
)
def test_unreadable_secrets_are_an_error_at_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(SinkError, match=r"mqtt\."):
        sink_for(free_port(), **settings).open()


def test_a_service_is_advised_how_to_receive_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INVOCATION_ID", "0" * 32)
    sink = sink_for(free_port(), username="press", password_file=Path("mqtt-password"))
    with pytest.raises(SinkError, match=f"{tmp_path}/mqtt-password: No such file.*LoadCredential="):
        sink.open()


def test_tls_with_a_private_authority(tmp_path: Path, pki: Path) -> None:
    with tls_broker(tmp_path, pki) as broker:
        assert_publishes(sink_for(broker.port, tls={"ca_file": pki / "ca.pem"}))


def test_a_certificate_of_unknown_authority_or_other_name_is_not_trusted(
    tmp_path: Path, pki: Path
) -> None:
    with tls_broker(tmp_path, pki) as broker:
        assert "not trusted" in failure_of(
            sink_for(broker.port, tls={"ca_file": pki / "other.pem"})
        )
    with tls_broker(tmp_path, pki, server="elsewhere") as broker:
        assert "not trusted" in failure_of(sink_for(broker.port, tls={"ca_file": pki / "ca.pem"}))


def test_an_unverified_broker_needs_the_setting_insecure(tmp_path: Path, pki: Path) -> None:
    with tls_broker(tmp_path, pki) as broker:
        assert "not trusted" in failure_of(sink_for(broker.port, tls={}))
        assert_publishes(sink_for(broker.port, tls={"insecure": True}))


def test_a_client_certificate_is_presented(tmp_path: Path, pki: Path) -> None:
    more = "require_certificate true\nuse_identity_as_username true\n"
    files = {"cert_file": pki / "client.pem", "key_file": pki / "client.key"}
    untrusted = {"cert_file": pki / "stranger.pem", "key_file": pki / "stranger.key"}
    with tls_broker(tmp_path, pki, more) as broker:
        assert_publishes(sink_for(broker.port, tls={"ca_file": pki / "ca.pem", **files}))
        assert failure_of(sink_for(broker.port, tls={"ca_file": pki / "ca.pem"}))
        assert failure_of(sink_for(broker.port, tls={"ca_file": pki / "ca.pem", **untrusted}))


def test_tls_to_a_broker_without_tls_is_a_failure(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        assert failure_of(sink_for(broker.port, tls={}))


def steps(settings: MqttSettings) -> list[tuple[str, bool]]:
    return [(step.name, step.ok) for step in check_broker(settings)]


def test_the_check_goes_through_all_stages(tmp_path: Path, pki: Path) -> None:
    with tls_broker(tmp_path, pki) as broker, Mosquitto(tmp_path) as plain:
        tls = {"ca_file": pki / "ca.pem"}
        settings = MqttSettings.model_validate(
            {"host": "localhost", "port": broker.port, "tls": tls, "protocol": "5"}
        )
        names = ("dns", "tcp", "tls", "login", "publish", "node")
        assert steps(settings) == [(name, True) for name in names]
        with Collector(plain.port) as subscriber:
            settings = MqttSettings(host="127.0.0.1", port=plain.port)
            assert all(step.ok for step in check_broker(settings, "plant"))
            assert subscriber.wait_for("asd/plant/check")[0].retain is False
            assert not subscriber.of("/status")


def test_the_check_ends_at_the_first_failure(
    tmp_path: Path, pki: Path, password_broker: Mosquitto
) -> None:
    assert steps(MqttSettings(host="no-such..host")) == [("dns", False)]
    closed = MqttSettings(host="127.0.0.1", port=free_port())
    assert steps(closed) == [("dns", True), ("tcp", False)]
    with tls_broker(tmp_path, pki) as broker:
        untrusted = MqttSettings.model_validate(
            {"host": "127.0.0.1", "port": broker.port, "tls": {"ca_file": pki / "other.pem"}}
        )
        assert steps(untrusted) == [("dns", True), ("tcp", True), ("tls", False)]
    anonymous = MqttSettings(host="127.0.0.1", port=password_broker.port)
    assert steps(anonymous) == [("dns", True), ("tcp", True), ("login", False)]
    gc.collect()


def test_the_example_broker_admits_a_monitor_to_its_own_node_only(tmp_path: Path) -> None:
    example = CONFIGS / "mosquitto"
    users, acl = tmp_path / "passwd", tmp_path / "acl"
    users.touch()
    for user in ("plant", "other", "dashboard"):
        subprocess.run(["mosquitto_passwd", "-b", str(users), user, PASSWORD], check=True)
    acl.write_text((example / "acl").read_text())
    settings = (example / "mosquitto.conf").read_text()
    replaced = ("listener ", "allow_anonymous ", "persistence ")  # by those of the test's broker
    lines = [line for line in settings.splitlines() if not line.startswith(replaced)]
    config = "\n".join(lines).replace("/etc/mosquitto", str(tmp_path))
    config = config.replace("/var/lib/mosquitto", str(tmp_path))
    password = tmp_path / "password"
    password.write_text(PASSWORD)

    def log_in(client: paho.Client) -> None:
        client.username_pw_set("dashboard", PASSWORD)

    with (
        Mosquitto(tmp_path, config, anonymous=False) as broker,
        Collector(broker.port, topic="asd/#", configure=log_in) as dashboard,
    ):
        other = sink_for(broker.port, username="other", password_file=password)
        other.open()
        wait_until(lambda: other.failure != "" or other.counts().published > 0, "an answer")
        other.close()
        assert_publishes(sink_for(broker.port, username="plant", password_file=password))
        dashboard.wait_for("/status", 2)
        assert len(dashboard.of("asd/plant/status")) == len(dashboard.of("/status"))
