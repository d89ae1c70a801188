"""The Prometheus sink: what it records, what it serves, and how it withstands bad clients."""

import contextlib
import gzip
import json
import logging
import resource
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from asd_monitor.errors import SinkError
from asd_monitor.records import LearningProgress, State
from asd_monitor.sinks.prometheus import http_server
from asd_monitor.sinks.prometheus.guard import BURST, RateLimit, is_own_host
from asd_monitor.sinks.prometheus.http_server import Response
from asd_monitor.sinks.prometheus.pages import ROUTES
from asd_monitor.sinks.prometheus.settings import PrometheusSettings
from asd_monitor.sinks.prometheus.sink import PrometheusSink
from asd_monitor.telemetry.metrics import Metrics
from asd_monitor.telemetry.status import MachineStatus, MonitorStatus
from tests.rig.metrics_scenario import MACHINES, emit_round
from tests.rig.mosquitto import wait_until
from tests.rig.prometheus import running_prometheus
from tests.rig.records import scored_window


def make_sink(**settings: Any) -> PrometheusSink:  # noqa: ANN401
    metrics = Metrics(CollectorRegistry())
    metrics.add_machines(MACHINES)
    return PrometheusSink(PrometheusSettings(**{"port": 0, **settings}), metrics)


@contextlib.contextmanager
def serving(status: Callable[[], MonitorStatus]) -> Iterator[PrometheusSink]:
    metrics = Metrics(CollectorRegistry())
    sink = PrometheusSink(PrometheusSettings(port=0), metrics, status=status)
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


@pytest.fixture
def sink() -> Iterator[PrometheusSink]:
    sink = make_sink()
    sink.open()
    yield sink
    sink.close()


def get(
    url: str, context: ssl.SSLContext | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Message, bytes]:
    request = urllib.request.Request(url, headers=headers or {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:  # noqa: S310
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def base(sink: PrometheusSink) -> str:
    return sink.url.removesuffix("/metrics")


def scraped(sink: PrometheusSink) -> dict[tuple[str, str], float]:
    """Return the value of each series by name and machine."""
    text = get(sink.url)[2].decode()
    return {
        (sample.name, sample.labels.get("machine", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_by_default_only_this_computer_can_read_the_metrics() -> None:
    settings = PrometheusSettings()
    assert (settings.address, settings.port) == ("127.0.0.1", 9109)


def test_a_scrape_returns_what_was_emitted(sink: PrometheusSink) -> None:
    emit_round(sink)
    samples = scraped(sink)
    assert samples["asd_anomaly_score", "fan/id_00"] == 3.0
    assert samples["asd_alarms_total", "pump"] == 1
    assert samples["asd_alarm_state", "pump"] == 0
    assert samples["asd_alarm_state", "fan/id_00"] == 1
    assert samples["asd_audio_samples_total", "pump"] == 16000
    assert samples["asd_learning_target_seconds", "pump"] == 300
    assert samples["process_resident_memory_bytes", ""] > 1e6


@pytest.mark.parametrize("host", ["plant.example", "plant.example:9109", "localhost.plant.example"])
def test_a_foreign_name_that_resolves_to_this_computer_is_refused(
    sink: PrometheusSink, host: str
) -> None:
    status, _, body = get(sink.url, headers={"Host": host})
    assert status == 421
    assert b"asd_" not in body


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:9109", "[::1]:9109", socket.gethostname()]
)
def test_names_of_this_computer_are_served(sink: PrometheusSink, host: str) -> None:
    assert get(sink.url, headers={"Host": host})[0] == 200


def test_an_endpoint_for_other_computers_may_have_any_name() -> None:
    assert is_own_host("plant.example:9109", "0.0.0.0")
    assert is_own_host("plant.example:9109", "fe80::1%eth0")
    assert not is_own_host("plant.example:9109", "::1")


def test_clients_that_ask_too_often_receive_the_latest_page_again() -> None:
    now, made = 0.0, 0
    limit = RateLimit(lambda: now)

    def make() -> Response:
        nonlocal made
        made += 1
        return Response(str(made).encode())

    for _ in range(500):
        limit.respond("text", make)
    assert made == BURST
    assert limit.respond("text", make).body == str(BURST).encode()
    # A client that floods one form does not keep others from theirs.
    assert limit.respond("gzip", make).body == str(BURST + 1).encode()
    now += 0.1
    assert limit.respond("text", make).body == str(BURST + 2).encode()


def test_creation_times_are_left_out(sink: PrometheusSink) -> None:
    emit_round(sink)
    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        assert b"_created" not in get(sink.url, headers={"Accept": accept})[2]


def test_openmetrics_and_compression_are_negotiated(sink: PrometheusSink) -> None:
    status, headers, body = get(
        sink.url,
        headers={
            "Accept": "application/openmetrics-text; version=1.0.0",
            "Accept-Encoding": "gzip",
        },
    )
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert gzip.decompress(body).endswith(b"# EOF\n")


def test_a_real_prometheus_agrees_by_its_counters(sink: PrometheusSink, tmp_path: Path) -> None:
    for number in range(5):
        emit_round(sink, number)
    with running_prometheus(tmp_path, f"127.0.0.1:{sink.port}") as server:
        server.wait_for("asd_windows_total")
        assert server.value('up{job="asd-monitor"}') == 1
        scored = server.value('asd_windows_total{machine="pump",result="scored"}')
        assert scored == 35
        assert server.value("asd_window_latency_seconds_count") == 2 * 5 * 10


def test_the_index_links_to_every_page(sink: PrometheusSink) -> None:
    status, headers, body = get(base(sink) + "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    for path in ROUTES:
        if path != "/":
            assert f'href="{path[1:]}"'.encode() in body
            assert get(base(sink) + path)[0] == 200
    assert "Python" not in headers["Server"]


def test_the_index_lists_the_machines_with_their_states() -> None:
    machines = {"<fan>": MachineStatus(), "pump": MachineStatus(State.ALARM)}
    with serving(lambda: MonitorStatus(machines)) as sink:
        body = get(base(sink) + "/")[2].decode()
    assert "<li>&lt;fan&gt;: UNKNOWN</li>\n<li>pump: ALARM</li>" in body


def test_unknown_pages_and_methods_are_refused(sink: PrometheusSink) -> None:
    status, _, body = get(base(sink) + "/metrics/../etc/passwd")
    assert (status, b"the pages are /, /metrics, /healthz, /readyz" in body) == (404, True)
    with pytest.raises(urllib.error.HTTPError, match="501") as refused:
        urllib.request.urlopen(sink.url, data=b"asd_alarms_total 0", timeout=20)  # noqa: S310
    refused.value.close()


def test_healthz_says_whether_the_monitor_is_alive() -> None:
    alive = [True]
    with serving(lambda: MonitorStatus(is_alive=alive[0])) as sink:
        assert get(base(sink) + "/healthz")[0] == 200
        alive[0] = False
        assert get(base(sink) + "/healthz")[0] == 503
        assert get(sink.url)[0] == 200


def test_healthz_reports_why_a_machine_is_not_learned() -> None:
    learning = LearningProgress("pump", 0.0, 300.0, problem="the microphone is overdriven")
    machines = {
        "pump": MachineStatus(State.LEARNING, learning=learning),
        "fan": MachineStatus(State.NORMAL),
    }
    with serving(lambda: MonitorStatus(machines)) as sink:
        status, _, body = get(base(sink) + "/healthz")
    assert (status, body) == (200, b"ok\npump: LEARNING: the microphone is overdriven\n")


def test_latency_is_from_capture_to_emission_of_live_sources_only() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.add_machines(("pump", "file"))
    sink = PrometheusSink(PrometheusSettings(), metrics, clock=lambda: 1000.0)
    sink.emit(scored_window(0, captured_at=999.8))
    sink.emit(scored_window(1, captured_at=1000.5))  # the clock was set back
    sink.emit(replace(scored_window(0, "file", captured_at=12.0), is_live=False))
    value = metrics.registry.get_sample_value
    assert value("asd_window_latency_seconds_count") == 1
    assert value("asd_window_latency_seconds_sum") == pytest.approx(0.2)


def test_a_port_in_use_says_what_to_do(sink: PrometheusSink) -> None:
    second = make_sink(port=sink.port)
    with pytest.raises(SinkError, match=r"port \d+: another program uses.*prometheus\.port"):
        second.open()
    second.close()


def test_an_address_of_another_computer_says_what_to_do() -> None:
    with pytest.raises(SinkError, match="no network interface of this computer"):
        make_sink(address="192.0.2.1").open()


def test_an_address_that_is_not_one_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SinkError, match=r"'192\.168\.\.5'.*cannot be looked up"):
        make_sink(address="192.168..5").open()

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a resolver may take seconds
    with pytest.raises(SinkError, match=r"prometheus\.address.*cannot be looked up"):
        make_sink(address="no-such-host.invalid").open()


def test_open_and_close_may_be_called_twice_and_free_the_port() -> None:
    sink = make_sink()
    sink.close()
    sink.open()
    sink.open()
    port = sink.port
    assert get(sink.url)[0] == 200
    sink.close()
    sink.close()
    again = make_sink(port=port)
    again.open()
    again.close()


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "localhost"])
def test_only_an_open_address_without_tls_causes_a_warning(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    sink = make_sink(address=address)
    with caplog.at_level(logging.WARNING):
        sink.open()
    sink.close()
    warnings = [record.message for record in caplog.records if "without TLS" in record.message]
    assert len(warnings) == (address == "0.0.0.0")


@pytest.mark.parametrize(
    "settings",
    [
        {"certificate_file": "a.pem"},
        {"key_file": "a.key"},
        {"client_ca_file": "ca.pem"},
        {"port": 70000},
        {"adress": "127.0.0.1"},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PrometheusSettings(**settings)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    )
    subprocess.run(make.split(), cwd=folder, check=True, capture_output=True)
    return folder


def test_tls_serves_clients_with_a_certificate_only(certificate: Path) -> None:
    cert, key = certificate / "cert.pem", certificate / "key.pem"
    sink = make_sink(certificate_file=cert, key_file=key, client_ca_file=cert)
    sink.open()
    try:
        known = ssl.create_default_context(cafile=str(cert))
        with pytest.raises((urllib.error.URLError, OSError)):
            get(sink.url, known)
        known.load_cert_chain(cert, key)
        assert get(sink.url, known)[0] == 200
        assert sink.url.startswith("https://")
    finally:
        sink.close()


def test_an_unfinished_handshake_does_not_block_other_clients(certificate: Path) -> None:
    cert, key = certificate / "cert.pem", certificate / "key.pem"
    sink = make_sink(certificate_file=cert, key_file=key)
    sink.open()
    try:
        with socket.create_connection(("127.0.0.1", sink.port)):
            context = ssl.create_default_context(cafile=str(cert))
            assert get(sink.url, context)[0] == 200
    finally:
        sink.close()


def test_tls_files_that_cannot_be_used_say_which(certificate: Path, tmp_path: Path) -> None:
    key = certificate / "key.pem"
    with pytest.raises(SinkError, match=r"missing\.pem"):
        make_sink(certificate_file=tmp_path / "missing.pem", key_file=key).open()
    with pytest.raises(SinkError, match=r"key\.pem.*cannot be used"):
        make_sink(certificate_file=key, key_file=key).open()


def connect_slowly(sink: PrometheusSink) -> socket.socket:
    """Return a connection that has sent the start of a request."""
    client = socket.create_connection(("127.0.0.1", sink.port), timeout=30)
    with contextlib.suppress(OSError):  # it may be evicted already
        client.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
    return client


@contextlib.contextmanager
def many_open_files() -> Iterator[None]:
    """Let this process have as many open files as the system allows it to, inside the block."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))


def is_disconnected(client: socket.socket) -> bool:
    """Wait for the end of a connection, with or without a reset."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:  # what it has sent was not read before
        return True


def client_threads() -> int:
    return sum(thread.name == "metrics-client" for thread in threading.enumerate())


def test_many_slow_clients_do_not_keep_others_from_the_metrics(sink: PrometheusSink) -> None:
    with contextlib.ExitStack() as clients:
        clients.enter_context(many_open_files())
        for _ in range(1000):
            clients.enter_context(connect_slowly(sink))
        assert get(sink.url)[0] == 200
        limit = http_server.MAX_CONNECTIONS
        wait_until(lambda: client_threads() <= limit, "the end of evicted clients")


def test_the_oldest_slow_client_is_disconnected_for_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(http_server, "CONNECTION_TIMEOUT_S", 300.0)
    sink = make_sink()
    sink.open()
    try:
        with connect_slowly(sink) as first, connect_slowly(sink) as second:
            with connect_slowly(sink):
                assert is_disconnected(first)
            second.settimeout(0.1)
            with pytest.raises(TimeoutError):
                second.recv(1)
    finally:
        sink.close()


def test_a_slow_client_is_disconnected_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "CONNECTION_TIMEOUT_S", 0.3)
    sink = make_sink()
    sink.open()
    try:
        with connect_slowly(sink) as slow:
            assert is_disconnected(slow)
    finally:
        sink.close()


def test_a_failing_series_is_logged_and_the_next_scrape_is_answered(
    sink: PrometheusSink, caplog: pytest.LogCaptureFixture
) -> None:
    depth = sink._metrics.queue_depth.labels("score_file")
    depth.set_function(lambda: json.loads("not a number"))
    with pytest.raises(OSError, match="closed"):
        get(sink.url)
    assert "failed" in caplog.text
    depth.set_function(lambda: 7.0)
    assert get(sink.url)[0] == 200
