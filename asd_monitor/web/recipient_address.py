"""The address of someone to notify, made from the fields of a form."""

import re
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlencode, urlsplit

from asd_monitor.errors import ConfigError

ENCRYPTIONS = {"starttls": 587, "ssl": 465, "insecure": 25}
"""Usual port of each way to encrypt e-mail, by its name in Apprise."""
NTFY_SERVER = "https://ntfy.sh"
NTFY_SCHEMES = {"https": "ntfys", "http": "ntfy"}
TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAIL_ADDRESS = re.compile(r"[^@\s,]+@[^@\s,]+")


def make_topic() -> str:
    """Return a topic of ntfy that no one can guess: who knows it can read the messages."""
    return f"asd-{secrets.token_hex(8)}"


def make_address(form: Mapping[str, str]) -> str:
    """Return the address that a form describes, in the form of Apprise.

    Parameters
    ----------
    form
        Its fields; ``service`` is a key of :data:`SERVICES`.

    Raises
    ------
    ConfigError
        If a field is missing or cannot be used.
    """
    make = SERVICES.get(form.get("service", "other"))
    if make is None:
        raise ConfigError(f"service: expected one of {', '.join(SERVICES)}")
    return make({key: value if key == "password" else value.strip() for key, value in form.items()})


def _make_email(form: Mapping[str, str]) -> str:
    encryption = form.get("encryption", "starttls")
    if encryption not in ENCRYPTIONS:
        raise ConfigError(f"encryption: expected one of {', '.join(ENCRYPTIONS)}")
    to, sender = form.get("to", ""), form.get("from", "")
    receivers = [each.strip() for each in to.split(",") if each.strip()]
    if not receivers or not all(map(MAIL_ADDRESS.fullmatch, receivers)):
        raise ConfigError("Give the e-mail address of who is notified, or several with commas.")
    if not MAIL_ADDRESS.fullmatch(sender or receivers[0]):
        raise ConfigError("Give the sender as an e-mail address.")
    server = _split_server(f"//{form.get('server', '')}", "mail server")
    query = {"smtp": server.hostname, "from": sender or receivers[0], "to": ",".join(receivers)}
    if form.get("user"):
        query |= {"user": form["user"], "pass": form.get("password", "")}
    scheme = "mailto" if encryption == "insecure" else "mailtos"
    port = server.port or ENCRYPTIONS[encryption]
    query["mode"] = encryption
    query = {key: value.replace("%", "%25") for key, value in query.items()}  # decoded twice
    return f"{scheme}://{server.hostname}:{port}?{urlencode(query, quote_via=quote)}"


def _make_ntfy(form: Mapping[str, str]) -> str:
    topic, text = form.get("topic", ""), form.get("ntfy_server") or NTFY_SERVER
    if not TOPIC.fullmatch(topic):
        raise ConfigError("Give a topic of letters, digits, - and _, at most 64.")
    server = _split_server(text if "://" in text else f"https://{text}", "ntfy server")
    if server.scheme not in NTFY_SCHEMES or server.path.strip("/"):
        raise ConfigError(f"Give the ntfy server as {NTFY_SERVER}; found {text!r}.")
    port = "" if server.port is None else f":{server.port}"
    return f"{NTFY_SCHEMES[server.scheme]}://{server.hostname}{port}/{topic}"


def _make_other(form: Mapping[str, str]) -> str:
    address = form.get("address", "")
    if not address:
        raise ConfigError("Give an address.")
    return address


class _Server:
    """A server as a person writes it: a name or IPv4 address, and possibly a port."""

    def __init__(self, text: str) -> None:
        parts = urlsplit(text)
        self.scheme, self.path, self.port = parts.scheme, parts.path, parts.port
        self.hostname = parts.hostname or ""
        if parts.username is not None or (not parts.scheme and parts.path) or parts.query:
            raise ValueError("more than a server")
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", self.hostname):
            raise ValueError("not a name")


def _split_server(text: str, what: str) -> _Server:
    try:
        return _Server(text)
    except ValueError:
        raise ConfigError(
            f"Give the name of the {what}, as mail.example.com or mail.example.com:587."
        ) from None


SERVICES: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "email": _make_email,
    "ntfy": _make_ntfy,
    "other": _make_other,
}
"""How the address of each kind of service is made."""
