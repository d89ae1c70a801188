"""Find out, stage by stage, what keeps an MQTT broker from being used."""

import contextlib
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from asd_monitor.errors import AsdMonitorError, SinkError
from asd_monitor.sinks.mqtt.failures import failure_of
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.topics import Topics

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a check."""

    name: str
    ok: bool
    detail: str
    """One line for a person: what was found, or what to do."""


def check_broker(settings: MqttSettings, node: str = "check") -> list[Step]:
    """Try DNS, TCP, TLS (where set), login and publishing in turn; stops at the first failure.

    The last stage publishes one message, QoS 1 and not retained, to ``<base>/<node>/check``
    and waits for the broker's acknowledgement. It takes at most about 25 seconds.
    """
    stages: list[tuple[str, Callable[[], str]]] = [
        ("dns", lambda: _resolve(settings)),
        ("tcp", lambda: _connect(settings)),
    ]
    if settings.tls is not None:
        stages.append(("tls", lambda: _handshake(settings)))
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
        return Step(name, False, failure_of(error, f"{settings.host}:{settings.port}").reason)


def _resolve(settings: MqttSettings) -> str:
    found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    return f"{settings.host} is {', '.join(sorted({str(each[4][0]) for each in found}))}"


def _connect(settings: MqttSettings) -> str:
    started = time.monotonic()
    with socket.create_connection((settings.host, settings.port), TIMEOUT_S):
        return f"port {settings.port} answers in {(time.monotonic() - started) * 1e3:.1f} ms"


def _handshake(settings: MqttSettings) -> str:
    from asd_monitor.sinks.mqtt.connection import tls_context

    if settings.tls is None:
        raise SinkError("no TLS is set")
    context = tls_context(settings.tls)
    address = settings.host, settings.port
    with (
        socket.create_connection(address, TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=settings.host) as secured,
    ):
        checked = "not checked, as set" if settings.tls.insecure else "trusted"
        return f"{secured.version()}; the broker's certificate is {checked}"


def _login_and_publish(settings: MqttSettings, node: str) -> list[Step]:
    from asd_monitor.sinks.mqtt.connection import Connection
    from asd_monitor.sinks.mqtt.outbox import Message

    connection = Connection(settings, f"asd-check-{uuid.uuid4().hex[:12]}", None)
    try:
        if not connection.start():
            reason = connection.failure.reason if connection.failure else "no answer"
            return [Step("login", False, reason)]
        who = f"as {settings.username}" if settings.username else "without a user name"
        steps = [Step("login", True, f"accepted {who}, MQTT {settings.protocol}")]
        topic = Topics(settings.base_topic, node).status.removesuffix("status") + "check"
        connection.publish(Message("event", topic, b'{"schema":1,"check":true}', 1, False))
        deadline = time.monotonic() + TIMEOUT_S
        while not connection.acks and connection.failure is None and time.monotonic() < deadline:
            connection.step(max(deadline - time.monotonic(), 0.0))
        steps.append(_published(connection.acks[0].refused if connection.acks else None, topic))
        with contextlib.suppress(ValueError):
            connection.goodbye()
        return steps
    finally:
        connection.stop()


def _published(refused: str | None, topic: str) -> Step:
    if refused is None:
        detail = f"{topic}: no acknowledgement within {TIMEOUT_S:g} s"
        return Step("publish", False, detail)
    if refused:
        return Step("publish", False, f"{topic}: the broker refuses it: {refused}")
    return Step("publish", True, f"{topic}: acknowledged")
