"""Addresses of people to notify, made from the fields of a form, as Apprise reads them."""

from typing import Any

import apprise
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.errors import ConfigError
from asd_monitor.web.recipient_address import make_address, make_topic

MAIL = {"service": "email", "to": "ann@example.com, bob@example.com", "server": "mail.example.com"}


def read(address: str) -> Any:  # noqa: ANN401 - each service has attributes of its own
    service = apprise.Apprise.instantiate(address)
    assert service is not None
    return service


@given(
    user=st.text("aZ0@/:?#&+% ü", min_size=1).filter(str.strip),
    password=st.text("aZ0@/:?#&+%ü'\"", min_size=1),
)
def test_apprise_reads_the_fields_of_an_e_mail_as_they_were_given(user: str, password: str) -> None:
    fields = {**MAIL, "user": user, "password": password, "from": "pump@example.com"}
    service = read(make_address(fields))
    assert (service.smtp_host, service.port, service.secure_mode) == (
        "mail.example.com",
        587,
        "starttls",
    )
    assert (service.user, service.password) == (user.strip(), password)
    assert service.from_addr[1] == "pump@example.com"
    assert [address for _, address in service.targets] == ["ann@example.com", "bob@example.com"]


@pytest.mark.parametrize(
    ("encryption", "server", "port", "is_secure"),
    [
        ("ssl", "mail.example.com", 465, True),
        ("ssl", "mail.example.com:1465", 1465, True),
        ("insecure", "10.0.0.5", 25, False),
    ],
)
def test_the_port_follows_the_encryption(
    encryption: str, server: str, port: int, is_secure: bool
) -> None:
    service = read(make_address({**MAIL, "encryption": encryption, "server": server}))
    assert (service.port, service.secure, service.user) == (port, is_secure, None)
    assert service.from_addr[1] == "ann@example.com"


@pytest.mark.parametrize(
    ("server", "host", "port", "is_secure"),
    [
        ("", "ntfy.sh", None, True),
        ("https://ntfy.example.com/", "ntfy.example.com", None, True),
        ("http://10.0.0.5:8080", "10.0.0.5", 8080, False),
        ("ntfy.example.com", "ntfy.example.com", None, True),
    ],
)
def test_a_topic_of_ntfy(server: str, host: str, port: int | None, is_secure: bool) -> None:
    topic = make_topic()
    service = read(make_address({"service": "ntfy", "topic": topic, "ntfy_server": server}))
    assert (service.host, service.port, service.secure) == (host, port, is_secure)
    assert service.topics == [topic]
    assert topic != make_topic()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**MAIL, "to": ""}, "e-mail address of who is notified"),
        ({**MAIL, "to": "ann"}, "e-mail address of who is notified"),
        ({**MAIL, "from": "Ann"}, "sender as an e-mail address"),
        ({**MAIL, "server": ""}, "name of the mail server"),
        ({**MAIL, "server": "mail.example.com:none"}, "name of the mail server"),
        ({**MAIL, "server": "user@mail.example.com/x y"}, "name of the mail server"),
        ({**MAIL, "server": "[::1"}, "name of the mail server"),
        ({**MAIL, "encryption": "best"}, "expected one of starttls, ssl, insecure"),
        ({"service": "ntfy", "topic": "a/b"}, "topic of letters, digits"),
        ({"service": "ntfy", "topic": "ab", "ntfy_server": "ftp://a.b"}, "https://ntfy.sh"),
        ({"service": "ntfy", "topic": "ab", "ntfy_server": "https://a.b/c"}, "https://ntfy.sh"),
        ({"service": "pigeon"}, "expected one of email, ntfy, other"),
        ({"service": "other", "address": " "}, "Give an address"),
    ],
)
def test_fields_that_cannot_be_used_are_named(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_address(fields)


def test_another_address_is_used_as_it_is() -> None:
    assert make_address({"address": " json://localhost/pumps "}) == "json://localhost/pumps"
