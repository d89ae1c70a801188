"""Accounts, sessions, roles and tokens, at the real server."""

import io
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asd_monitor.commands.access import access
from asd_monitor.errors import ConfigError, SinkError
from asd_monitor.web.access_store import (
    FILE_NAME,
    IDLE_SESSION_S,
    SESSION_S,
    AccessStore,
    Role,
)
from asd_monitor.web.login_limit import INTERVAL_S, TRIES, LoginLimit
from asd_monitor.web.routes.access import safe_target
from asd_monitor.web.settings import WebSettings
from asd_monitor.web.setup_link import VALID_S, SetupLink
from tests.rig.raw_http import Answer, request
from tests.rig.web_site import ADMIN, Site, web_site

NAME, PASSWORD = ADMIN
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with web_site(tmp_path_factory.mktemp("state"), password=True) as running:
        store = AccessStore(running.folder / FILE_NAME)
        store.set_account("viewer", "only for looking", Role.VIEWER)
        store.close()
        yield running


@pytest.fixture(autouse=True)
def _no_tries_yet(site: Site) -> None:
    site.service._context.login_limit._tries.clear()


def post(site: Site, path: str, body: str, **headers: str) -> Answer:
    own = {"Origin": f"http://127.0.0.1:{site.port}", "Content-Type": FORM}
    return request(site.port, "POST", path, own | headers, body.encode())


def sign_in(site: Site, name: str = NAME, password: str = PASSWORD, target: str = "/") -> Answer:
    return post(site, "/login", f"name={name}&password={password.replace(' ', '+')}&next={target}")


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].split(";")[0]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/m/pump",
        "/events",
        "/system",
        "/m/pump/trend",
        "/fragments/machines",
        "/m/pump/trend.csv",
    ],
)
def test_a_page_leads_to_the_form_to_sign_in(site: Site, path: str) -> None:
    answer = request(site.port, path=path)
    assert answer.status == 303
    assert answer.headers["location"] == f"/login?next={path.replace('/', '%2F')}"
    assert b"pump" not in answer.body


@pytest.mark.parametrize(
    "path",
    ["machines", "machines/pump", "machines/pump/history", "events", "events/x", "live",
     "events/20261130T120102-pump-3f2a/clip.flac"],
)  # fmt: skip
def test_the_api_needs_a_session_or_a_token(site: Site, path: str) -> None:
    for headers in ({}, {"Cookie": "asd_session=guess"}, {"Authorization": "Bearer guess"}):
        assert request(site.port, path=f"/api/v1/{path}", headers=headers).status == 401


def test_signing_in_opens_a_session_and_signing_out_ends_it(site: Site) -> None:
    answer = sign_in(site, target="/events")
    assert (answer.status, answer.headers["location"]) == (303, "/events")
    flags = {flag.strip().lower() for flag in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    cookie = cookie_of(answer)
    assert b"Signed in as anna" in request(site.port, headers={"Cookie": cookie}).body
    assert request(site.port, path="/whoami", headers={"Cookie": cookie}).status == 204
    assert post(site, "/logout", "", Cookie=cookie).status == 303
    assert request(site.port, headers={"Cookie": cookie}).status == 303


@pytest.mark.parametrize("name", [NAME, "nobody", "", "' OR 1=1 --"])
def test_a_wrong_name_or_password_is_refused_with_the_same_words(site: Site, name: str) -> None:
    answer = sign_in(site, name, "wrong password")
    assert (answer.status, b"Name or password is wrong." in answer.body) == (403, True)
    assert "set-cookie" not in answer.headers


def test_passwords_cannot_be_guessed_quickly(site: Site) -> None:
    answers = [sign_in(site, NAME, "wrong password").status for _ in range(TRIES + 1)]
    assert answers == [403] * TRIES + [429]
    assert sign_in(site).status == 429  # the right one too


def test_tries_are_counted_for_a_minute_and_for_each_network() -> None:
    now = [0.0]
    limit = LoginLimit(lambda: now[0])
    assert [limit.accept("2001:db8::1") for _ in range(TRIES)] == [True] * TRIES
    assert not limit.accept("2001:db8::ffff")
    assert limit.accept("2001:db8:0:1::1")
    now[0] = INTERVAL_S
    assert limit.accept("2001:db8::1")


def test_all_addresses_together_have_a_limit() -> None:
    limit = LoginLimit(lambda: 0.0)
    accepted = [limit.accept(f"10.0.{n // 250}.{n % 250}") for n in range(200)]
    assert sum(accepted) == 60


def test_a_session_ends_when_it_is_old_or_unused(tmp_path: Path) -> None:
    now = [1e9]
    store = AccessStore(tmp_path / FILE_NAME, clock=lambda: now[0])
    store.set_account(*ADMIN, Role.ADMIN)
    unused, used = store.open_session(NAME, "::1"), store.open_session(NAME, "::1")
    for _ in range(int(SESSION_S / IDLE_SESSION_S) * 2):
        now[0] += IDLE_SESSION_S / 2 - 1
        assert store.find_session(used) is not None
    assert store.find_session(unused) is None
    now[0] = 1e9 + SESSION_S + 1
    assert store.find_session(used) is None


def test_a_new_password_ends_the_sessions_of_the_account(tmp_path: Path) -> None:
    store = AccessStore(tmp_path / FILE_NAME)
    store.set_account(*ADMIN, Role.ADMIN)
    secret = store.open_session(NAME, "::1")
    store.set_account(NAME, "another password", Role.ADMIN)
    assert store.find_session(secret) is None
    assert store.check_password(*ADMIN) is None


def test_the_file_contains_no_secret_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    store = AccessStore(path)
    store.set_account(*ADMIN, Role.ADMIN)
    secrets = [
        store.open_session(NAME, "::1"),
        store.create_token("grafana", Role.VIEWER),
        PASSWORD,
    ]
    store.close()
    assert path.stat().st_mode & 0o077 == 0
    assert not [secret for secret in secrets if secret.encode() in path.read_bytes()]


def test_a_token_has_a_role_and_can_be_removed(site: Site) -> None:
    store = AccessStore(site.folder / FILE_NAME)
    token = store.create_token("grafana", Role.VIEWER)
    headers = {"Authorization": f"Bearer {token}"}
    assert request(site.port, path="/api/v1/machines", headers=headers).status == 200
    assert store.remove("grafana")
    store.close()
    assert request(site.port, path="/api/v1/machines", headers=headers).status == 401


def test_a_session_does_not_replace_a_wrong_token(site: Site) -> None:
    headers = {"Cookie": cookie_of(sign_in(site)), "Authorization": "Bearer wrong"}
    assert request(site.port, path="/api/v1/machines", headers=headers).status == 401


def test_a_role_includes_those_before_it() -> None:
    assert Role.VIEWER < Role.OPERATOR < Role.ADMIN
    with pytest.raises(ConfigError, match="expected a role: viewer, operator, admin"):
        Role.parse("root")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/events?x=1", "/events?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("", "/"),
    ],
)
def test_signing_in_leads_to_pages_of_this_site_only(target: str, expected: str) -> None:
    assert safe_target(target) == expected


def test_the_first_password_is_set_once_with_the_link(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with web_site(tmp_path) as site:
        link = re.search(r"/password\?key=(\S+)", caplog.text)
        assert link
        assert request(site.port, path="/password?key=guess").status == 403
        assert request(site.port, path=link[0]).status == 200
        fields = f"name=anna&password=a+long+password&repeated=a+long+password&key={link[1]}"
        assert post(site, "/password", fields.replace("repeated=a", "repeated=b")).status == 400
        assert post(site, "/password", fields.replace("a+long+password", "short")).status == 400
        done = post(site, "/password", fields)
        assert done.status == 303
        assert request(site.port, headers={"Cookie": cookie_of(done)}).status == 200
        assert request(site.port).status == 303  # a password is needed now
        assert post(site, "/password", fields).status == 403


def test_the_link_is_valid_for_15_minutes() -> None:
    now = [0.0]
    link = SetupLink(lambda: now[0])
    assert link.is_valid(link.key)
    now[0] = VALID_S
    assert not link.use(link.key)


@pytest.mark.parametrize(
    "settings",
    [
        {"address": "0.0.0.0", "plain_http": True},
        {"address": "127.0.0.1", "hosts": ("monitor.example",)},
        {"address": "127.0.0.1", "external_url": "https://monitor.example/"},
    ],
)
def test_other_computers_are_not_served_without_a_password(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    missing = pytest.raises(ConfigError, match="set one with `asd-monitor access admin`")
    with missing, web_site(tmp_path, **settings):
        pass
    with web_site(tmp_path, password=True, **settings) as site:
        assert request(site.port, headers={"Host": "127.0.0.1"}).status == 303


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.2", "monitor.example"])
def test_other_computers_are_not_served_without_tls_or_an_explicit_word(address: str) -> None:
    with pytest.raises(ValueError, match="certificate_file"):
        WebSettings(address=address)
    assert not WebSettings(address=address, plain_http=True).is_loopback


def test_removing_the_last_account_does_not_open_a_page_that_others_can_reach(
    tmp_path: Path,
) -> None:
    with web_site(tmp_path, password=True, address="0.0.0.0", plain_http=True) as site:
        store = AccessStore(tmp_path / FILE_NAME)
        assert store.remove(NAME)
        store.close()
        assert request(site.port, path="/api/v1/machines").status == 401


def test_accounts_are_managed_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str | None, role: str = "admin", text: str = "", **flags: bool) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        access(name, role, **({"token": False, "remove": False} | flags), state_dir=tmp_path)
        return capsys.readouterr().out

    with pytest.raises(ConfigError, match="a password of 10 to 200 characters, found 5"):
        run("anna", "operator", "short\n")
    run("anna", "operator", "a long password\n")
    token = run("grafana", "viewer", token=True).strip()
    assert run(None) == "account\toperator\tanna\ntoken\tviewer\tgrafana\n"
    store = AccessStore(tmp_path / FILE_NAME)
    assert store.check_password("anna", "a long password") is not None
    assert store.find_token(token) is not None
    store.close()
    run("anna", remove=True)
    with pytest.raises(ConfigError, match="there is no account or token 'anna'"):
        run("anna", remove=True)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = pytest.raises(SinkError, match="another program uses the port")
        with taken, web_site(tmp_path, port=other.getsockname()[1]):
            pass
