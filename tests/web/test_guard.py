"""Requests that a browser of the page would not send are refused, by the real server."""

from collections.abc import Iterator

import pytest

from asd_monitor.web.guard import MAX_BODY_BYTES
from tests.rig.raw_http import request, send
from tests.rig.web_site import Site, web_site

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with web_site(tmp_path_factory.mktemp("state"), frame_ancestors=()) as running:
        yield running


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST", "localhost:1", "[::1]:9110"])
def test_names_of_this_computer_are_served(site: Site, host: str) -> None:
    assert request(site.port, headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",  # a name whose address was changed to ours: DNS rebinding
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "evil.example:9110",
        "[::2]",
        "127.0.0.2",
        " ",
        "127.0.0.1, evil.example",
    ],
)
def test_other_host_names_are_refused(site: Site, host: str) -> None:
    answer = request(site.port, headers={"Host": host})
    assert answer.status in (400, 421)
    assert b"Feed pump" not in answer.raw


def test_a_request_needs_exactly_one_host(site: Site) -> None:
    assert send(site.port, b"GET / HTTP/1.1\r\n\r\n").status == 400
    assert send(site.port, b"GET / HTTP/1.0\r\n\r\n").status == 421
    two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert send(site.port, two).status == 400


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
        "http://localhost:{port}",  # another origin than that of the URL
        "http://127.0.0.1:{port}.evil.example",
        "http://127.0.0.1:{port} http://evil.example",
        "",
    ],
)
def test_a_change_from_another_site_is_refused(site: Site, origin: str) -> None:
    headers = {"Origin": origin.format(port=site.port), "Content-Type": FORM}
    answer = request(site.port, "POST", "/login", headers, b"name=a&password=b")
    assert answer.status == 403
    assert b"Origin" in answer.body


def test_a_change_from_the_page_itself_is_accepted(site: Site) -> None:
    headers = {"Origin": f"http://127.0.0.1:{site.port}", "Content-Type": FORM}
    answer = request(site.port, "POST", "/login", headers, b"name=a&password=b")
    assert (answer.status, b"wrong" in answer.body) == (403, True)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "CONNECT", "OPTIONS", "PROPFIND"])
def test_other_methods_are_refused(site: Site, method: str) -> None:
    headers = {"Origin": f"http://127.0.0.1:{site.port}"}
    assert request(site.port, method, "/", headers).status == 405


@pytest.mark.parametrize("path", ["/login", "/password", "/", "/api/v1/machines", "/events"])
def test_no_request_to_look_changes_anything_or_allows_other_sites(site: Site, path: str) -> None:
    answer = request(site.port, path=path, headers={"Origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api/v1/machines", "/api/v1/nothing", "/login", "/api/v1/healthz"]
)
def test_every_response_has_the_strict_policy(site: Site, path: str) -> None:
    headers = request(site.port, path=path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"


def test_refused_requests_have_the_strict_policy_too(site: Site) -> None:
    headers = request(site.port, headers={"Host": "evil.example"}).headers
    assert "default-src 'none'" in headers["content-security-policy"]


def test_pages_contain_no_inline_script_or_style(site: Site) -> None:
    for path in ("/", "/m/pump", "/m/pump/trend", "/events", "/system", "/login", "/nothing"):
        page = request(site.port, path=path).body.decode().lower()
        assert "<style" not in page
        assert " style=" not in page
        assert " on" not in {attribute[:3] for attribute in page.split("<script")[1:]}
        assert all("src=" in script.split(">")[0] for script in page.split("<script")[1:])
        assert "//" not in page.split("<body")[0].replace("<!doctype html>", "")


def test_a_large_body_is_refused_before_it_is_read(site: Site) -> None:
    headers = {
        "Origin": f"http://127.0.0.1:{site.port}",
        "Content-Type": FORM,
        "Content-Length": str(MAX_BODY_BYTES + 1),
    }
    assert request(site.port, "POST", "/login", headers).status == 413


def test_a_body_that_grows_beyond_the_limit_is_refused(site: Site) -> None:
    headers = {
        "Origin": f"http://127.0.0.1:{site.port}",
        "Content-Type": FORM,
        "Transfer-Encoding": "chunked",
    }
    chunk = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
    assert request(site.port, "POST", "/login", headers, 5 * chunk + b"0\r\n\r\n").status == 413


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": ""}, b"name=a", 415),
        ({"Content-Type": FORM}, b"&".join(b"a=%d" % n for n in range(60)), 400),
        ({"Content-Type": FORM}, b"name=\xff\xfe", 400),
        ({"Content-Type": FORM}, b"name=%ff", 400),
    ],
)
def test_a_body_that_is_no_form_is_refused(
    site: Site, headers: dict[str, str], body: bytes, status: int
) -> None:
    headers = {"Origin": f"http://127.0.0.1:{site.port}"} | headers
    assert request(site.port, "POST", "/login", headers, body).status == status


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS handshake
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\r\n" * 1000,
    ],
)
def test_what_is_no_valid_request_is_refused(site: Site, data: bytes) -> None:
    assert 400 <= send(site.port, data + b"\r\n\r\n").status < 502
    assert request(site.port, path="/api/v1/healthz").status == 200


def test_a_stream_is_not_upgraded_to_a_websocket(site: Site) -> None:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade, close", "Sec-WebSocket-Key": "eA=="}
    answer = request(site.port, headers=headers | {"Connection": "close, Upgrade"})
    assert answer.status != 101


def test_pages_of_the_settings_may_embed_the_page(tmp_path: object) -> None:
    from asd_monitor.web.guard import security_headers

    headers = security_headers(["https://dashboard.example"])
    assert "frame-ancestors https://dashboard.example" in headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in headers
