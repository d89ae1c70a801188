"""Who is notified, as the page lists and tries addresses."""

from asd_monitor.config import from_part
from asd_monitor.errors import AsdMonitorError, ConfigError
from asd_monitor.settings_file import Document
from asd_monitor.sinks.notify.settings import NotifySettings
from asd_monitor.web.setup import CheckStep


def list_recipients(settings: NotifySettings) -> list[str]:
    """Return who is notified, without what is secret in the addresses."""
    from asd_monitor.sinks.notify.sink import make_targets

    try:
        return [target.name for target in make_targets(settings)]
    except AsdMonitorError:
        return [each.url_env or str(each.url_file or "an address") for each in settings.to]


def try_recipient(address: str, node: str) -> list[CheckStep]:
    """Send a test message of a monitor to an address."""
    from asd_monitor.sinks.notify.message import Message
    from asd_monitor.sinks.notify.settings import Kind
    from asd_monitor.sinks.notify.sink import make_targets

    message = Message(
        Kind.RECOVERED, "Test of asd-monitor", f"This is a test of the monitor {node}."
    )
    steps = []
    for target in make_targets(make_notify([address])):
        is_ok = target.send(message)
        text = "accepted the message" if is_ok else "did not accept the message: check host, "
        text += "" if is_ok else "user and password, and whether this computer reaches it"
        steps.append(CheckStep(target.name, is_ok, text))
    return steps


def make_notify(addresses: list[str]) -> NotifySettings:
    """Return settings that notify some addresses; raise ConfigError for one that is invalid."""
    config = from_part(Document("this page", {"notify": {"to": addresses}}, {}))
    settings = config.sink_settings(NotifySettings)
    if settings is None:
        raise ConfigError("notify.to: expected an address")
    return settings
