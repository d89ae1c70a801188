"""Check an MQTT broker stage by stage: DNS, TCP, TLS, login, publishing."""

import socket
import time
import uuid
from collections.abc import Callable

from asd_monitor.errors import AsdMonitorError
from asd_monitor.sinks.mqtt.check_publishing import (
    DISCOVERY_BYTES,
    FULL_BYTES,
    TIMEOUT_S,
    PublishingCheck,
    Step,
)
from asd_monitor.sinks.mqtt.failures import connect_failure
from asd_monitor.sinks.mqtt.settings import MqttSettings, MqttTls
from asd_monitor.sinks.mqtt.tls import make_tls_context
from asd_monitor.sinks.mqtt.topics import Topics


def check_broker(settings: MqttSettings, node: str = "check") -> list[Step]:
    """Try DNS, TCP, TLS (if set), login and publishing in turn; stop at the first failure.

    Publishing uses two messages, QoS 1 and not retained, to ``<base>/<node>/check``: a short one
    and one of full size. Then the node name is checked. It takes at most about 30 seconds.
    """
    stages: list[tuple[str, Callable[[], str]]] = [
        ("dns", lambda: _resolve(settings)),
        ("tcp", lambda: _connect(settings)),
    ]
    tls = settings.tls
    if tls is not None:
        stages.append(("tls", lambda: _handshake(settings, tls)))
    steps: list[Step] = []
    for name, stage in stages:
        steps.append(_try(name, stage, settings))
        if not steps[-1].ok:
            return steps
    return steps + _login_and_publish(settings, node)


def _try(name: str, stage: Callable[[], str], settings: MqttSettings) -> Step:
    try:
        return Step(name, True, stage())
    except AsdMonitorError as error:
        return Step(name, False, str(error))
    except (OSError, UnicodeError) as error:
        return Step(name, False, connect_failure(error, f"{settings.host}:{settings.port}").reason)


def _resolve(settings: MqttSettings) -> str:
    answers = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    addresses = sorted({str(address[0]) for *_, address in answers})
    return f"{settings.host} is {', '.join(addresses)}"


def _connect(settings: MqttSettings) -> str:
    started_s = time.monotonic()
    with socket.create_connection((settings.host, settings.port), TIMEOUT_S):
        return f"port {settings.port} answers in {(time.monotonic() - started_s) * 1e3:.1f} ms"


def _handshake(settings: MqttSettings, tls: MqttTls) -> str:
    context = make_tls_context(tls)
    with (
        socket.create_connection((settings.host, settings.port), TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=settings.host) as secured,
    ):
        verified = "not verified (tls.insecure)" if tls.insecure else "trusted"
        return f"{secured.version()}; the broker's certificate is {verified}"


def _login_and_publish(settings: MqttSettings, node: str) -> list[Step]:
    from asd_monitor.sinks.mqtt.connection import Connection

    connection = Connection(settings, f"asd-check-{uuid.uuid4().hex[:12]}", None)
    try:
        if not connection.start():
            reason = connection.failure.reason if connection.failure else "no answer"
            return [Step("login", False, reason)]
        user = f"as {settings.username}" if settings.username else "without a user name"
        login = Step("login", True, f"accepted {user}, MQTT {settings.protocol}")
        topics = Topics(settings.base_topic, node)
        check = PublishingCheck(
            connection,
            topics,
            version5=settings.protocol == "5",
            full_bytes=FULL_BYTES if settings.home_assistant is None else DISCOVERY_BYTES,
        )
        return [login, *check.run()]
    finally:
        connection.stop()
