"""Check the addresses of notifications; nothing is ever sent."""

import socket

from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import SinkError

CHECK = "notify"
CONNECT_TIMEOUT_S = 3.0


def check_notifications(context: Context) -> list[Finding]:
    """Check that each address can be read and that Apprise knows it.

    If the context says so, a connection to each address with an HTTP server of its own is opened
    and closed.
    """
    from asd_monitor.sinks.notify.delivery import AppriseTarget
    from asd_monitor.sinks.notify.settings import NotifySettings

    settings = context.config.sink_settings(NotifySettings)
    if settings is None:
        return [ok(CHECK, "off: no address is named (notify: in the configuration)")]
    findings = []
    for number, recipient in enumerate(settings.to, 1):
        try:
            target = AppriseTarget(number, recipient)
        except SinkError as error:
            hint = "correct the address under notify.to, or its file or variable"
            findings.append(failed(CHECK, str(error), hint, SinkError))
            continue
        server = target.server if context.connects_to_notify else None
        if server is None:
            sends = "`asd-monitor notify --test` sends a message"
            findings.append(ok(CHECK, f"{target.name}: the address is valid; {sends}"))
        else:
            findings.append(_check_connection(target.name, *server))
    return findings


def _check_connection(name: str, host: str, port: int) -> Finding:
    try:
        socket.create_connection((host, port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        return warning(
            CHECK,
            f"{name}: {host}:{port} cannot be reached: {reason}",
            "check that the server is running, its name and port, and any firewall in between",
        )
    return ok(CHECK, f"{name}: {host}:{port} can be reached; nothing was sent")
