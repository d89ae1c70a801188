"""Send messages to one address through Apprise, which is imported only here."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from asd_monitor.errors import SinkError
from asd_monitor.sinks.notify.message import Message
from asd_monitor.sinks.notify.settings import Kind, Recipient

if TYPE_CHECKING:
    import apprise

_TYPES = {
    Kind.ALARM: "failure",
    Kind.WARNING: "warning",
    Kind.CLEARED: "success",
    Kind.LOST: "warning",
    Kind.RECOVERED: "success",
}
"""Apprise's type of each notification, which some services show as a colour or an icon."""
MISSING = (
    "notify: sending notifications needs the package apprise, which is not installed; install it "
    "with `pip install 'asd-monitor[notify]'`, or turn notifications off (notify: off)"
)


HTTP_SERVICES = frozenset({"json", "xml", "form", "gotify", "hassio"})
"""Services at a host that the address names; that of others may be a topic or a secret token."""


class Target(Protocol):
    """Something that messages are sent to."""

    name: str
    """Shown to users; without any secret."""

    def send(self, message: Message) -> bool:
        """Send a message, within some seconds; return whether it was accepted."""


class AppriseTarget:
    """One address.

    Parameters
    ----------
    number
        Its position in the settings, from 1.
    recipient
        Where its address is.

    Raises
    ------
    SinkError
        If Apprise is not installed, the address cannot be read, or Apprise does not know it.
    """

    def __init__(self, number: int, recipient: Recipient) -> None:
        self._service = _make_service(number, recipient.read())
        self.name = f"{self._service.service_name} (address {number})"

    @property
    def server(self) -> tuple[str, int] | None:
        """Host and port of an HTTP server that the address names; None for other services."""
        service = self._service
        if service.protocol not in HTTP_SERVICES or not service.host:
            return None
        return str(service.host), int(service.port or (443 if service.secure else 80))

    def send(self, message: Message) -> bool:
        """Send a message with its picture; without it if that fails."""
        attach = message.picture if message.picture and Path(message.picture).is_file() else None
        takes_one = attach is not None and self._service.attachment_support
        return (takes_one and self._notify(message, attach)) or self._notify(message, None)

    def _notify(self, message: Message, attach: str | None) -> bool:
        try:
            return bool(
                self._service.notify(
                    body=message.body,
                    title=message.title,
                    notify_type=_TYPES[message.kind],
                    attach=attach,
                )
            )
        except Exception:
            return False


def _make_service(number: int, address: str) -> "apprise.NotifyBase":
    try:
        import apprise
    except ImportError as error:
        raise SinkError(MISSING) from error

    # Their log lines contain parts of the addresses, which are often secret.
    for name in ("apprise", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    asset = apprise.AppriseAsset(
        app_id="asd-monitor",
        app_desc="Acoustic condition monitor",
        async_mode=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
    service = apprise.Apprise.instantiate(address, asset=asset)
    if service is None:
        scheme = address.partition("://")[0] if "://" in address else ""
        found = f"one that begins with {scheme}://" if scheme.isalnum() else "something else"
        msg = (
            f"notify.to, address {number}: expected an address that Apprise knows, such as "
            f"ntfy://host/topic or mailto://user:password@host, found {found}"
        )
        raise SinkError(msg)
    return service
