"""Many and slow clients do not keep others from the page."""

import asyncio
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_monitor.web import connections
from tests.rig.raw_http import connect, read_all, request
from tests.rig.web_site import ADMIN, EVENT, Site, web_site

PARTIAL = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with web_site(tmp_path_factory.mktemp("state")) as running:
        yield running


def test_connections_without_a_request_give_way_to_newer_ones(site: Site) -> None:
    silent = [connect(site.port) for _ in range(connections.MAX_CONNECTIONS + 10)]
    unfinished = [connect(site.port) for _ in range(10)]
    for connection in unfinished:
        connection.sendall(PARTIAL)
    assert request(site.port).status == 200
    for connection in [*silent, *unfinished]:
        connection.close()


def test_open_streams_do_not_keep_out_other_requests(site: Site) -> None:
    streams = [connect(site.port) for _ in range(32)]
    for stream in streams:
        stream.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stream.recv(4000).startswith(b"HTTP/1.1 200")
    assert request(site.port, path="/api/v1/live").status == 503
    assert request(site.port).status == 200
    streams.pop().close()
    deadline_s = time.monotonic() + 300
    while request_stream(site) != 200:
        assert time.monotonic() < deadline_s
    for stream in streams:
        stream.close()


def request_stream(site: Site) -> int:
    with connect(site.port) as connection:
        connection.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return int(connection.recv(4000).split(b" ")[1])


def test_responses_do_not_wait_for_the_acknowledgement_of_their_headers(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays, connection_made = [], connections.LimitedConnection.connection_made

    def record_delay(self: connections.LimitedConnection, transport: asyncio.Transport) -> None:
        client = transport.get_extra_info("socket")
        delays.append(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        connection_made(self, transport)

    monkeypatch.setattr(connections.LimitedConnection, "connection_made", record_delay)
    assert request(site.port).status == 200
    assert delays == [1]


def test_a_request_must_be_complete_in_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT_S", 0.2)
    body = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n"
    for data in (b"", PARTIAL, body + b"Origin: http://localhost\r\n" + b"\r\na"):
        with connect(site.port) as connection:
            connection.sendall(data)
            assert read_all(connection).status in (0, 403, 415)


def test_a_client_that_reads_nothing_is_disconnected(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "WRITE_TIMEOUT_S", 0.3)
    clip = site.folder / "events" / EVENT / "nearest.flac"
    content = clip.read_bytes()
    try:
        clip.write_bytes(bytes(30_000_000))
        with connect(site.port) as connection:
            path = f"/api/v1/events/{EVENT}/nearest.flac"
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            deadline_s = time.monotonic() + 300
            while open_connections(site):
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
    finally:
        clip.write_bytes(content)


def test_a_stop_ends_open_streams_without_errors(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with web_site(tmp_path) as site:
        stream = connect(site.port)
        stream.sendall(b"GET /api/v1/live?machine=pump HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stream.recv(4000)
    read_all(stream)
    stream.close()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def open_connections(site: Site) -> int:
    """Return the number of established connections of the server, from the kernel."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    own = f"0100007F:{site.port:04X}"
    return sum(line.split()[1] == own and line.split()[3] == "01" for line in lines)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "web.pem", folder / "web.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def test_with_tls_the_cookie_is_for_this_host_over_tls_only(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    client = ssl.create_default_context(cafile=str(certificate[0]))
    file, key = certificate
    with web_site(tmp_path, password=True, certificate_file=file, key_file=key) as site:
        unfinished = [connect(site.port) for _ in range(connections.MAX_CONNECTIONS + 10)]
        body = f"name={ADMIN[0]}&password={ADMIN[1].replace(' ', '+')}".encode()
        head = (
            f"POST /login HTTP/1.1\r\nHost: localhost:{site.port}\r\nConnection: close\r\n"
            f"Origin: https://localhost:{site.port}\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        with connect(site.port, client) as connection:
            connection.sendall(head.encode() + body)
            answer = read_all(connection)
        assert answer.status == 303
        cookie = answer.headers["set-cookie"].lower()
        assert cookie.startswith("__host-asd_session=")
        assert "secure" in cookie
        for other in unfinished:
            other.close()
