"""One connection to an MQTT broker, from the first packet to the last.

Each connection has a paho client of its own and is never revived: a broker that lost its
memory, a changed password and a packet that nobody understands are then all the same case.
Imports paho, so it is imported only when a connection is wanted.
"""

import contextlib
import logging
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from asd_monitor.errors import SinkError
from asd_monitor.sinks.mqtt.failures import (
    CONNECT_TIMEOUT_S,
    Failure,
    FailureKind,
    failure_of,
)
from asd_monitor.sinks.mqtt.outbox import OFFLINE, ONLINE, Message
from asd_monitor.sinks.mqtt.settings import MqttSettings, MqttTls

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 10.0
GOODBYE_TIMEOUT_S = 1.0
MAX_IN_FLIGHT = 200


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of a message: ``refused`` is the broker's reason, empty when it took it."""

    mid: int
    refused: str = ""


class Connection:
    """A connection that is opened once, used, and stopped; by one thread, but for ``wake``.

    There is no network thread: :meth:`step` waits for the broker and for ``wake`` alike.

    Parameters
    ----------
    settings, client_id
        Where to connect, and as whom.
    status_topic
        Gets ``online`` on each login, ``offline`` at the end and as the last will.
    """

    def __init__(self, settings: MqttSettings, client_id: str, status_topic: str | None) -> None:
        self.acks: deque[Ack] = deque()
        self.failure: Failure | None = None
        self.max_in_flight = MAX_IN_FLIGHT
        self._settings = settings
        self._status_topic = status_topic
        self._answered = self._ended = self._aborted = False
        self._woken = False
        self._check_at = 0.0
        self._check_every_s = settings.keepalive_s / 8
        self._waker, self._bell = socket.socketpair()
        self._waker.setblocking(False)
        self._bell.setblocking(False)
        version5 = settings.protocol == "5"
        client = self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if version5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages = MAX_IN_FLIGHT
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        if status_topic is not None:
            client.will_set(status_topic, OFFLINE, qos=1, retain=True)

    def start(self) -> bool:
        """Connect and log in; False with ``failure`` set where that does not work."""
        where = f"{self._settings.host}:{self._settings.port}"
        try:
            self._prepare()
            self._client.connect(
                self._settings.host, self._settings.port, self._settings.keepalive_s
            )
        except SinkError as error:
            self._fail("settings", str(error))
        except (OSError, UnicodeError) as error:
            self.failure = failure_of(error, where)
        self._step_until(lambda: self._answered, ANSWER_TIMEOUT_S)
        if not self._answered:
            self._fail("lost", f"{where} took the connection but did not answer the login")
        return self.failure is None

    def _prepare(self) -> None:
        settings = self._settings
        if settings.username is not None:
            self._client.username_pw_set(settings.username, settings.read_password())
        if settings.tls is not None:
            self._client.tls_set_context(tls_context(settings.tls))
            if settings.tls.insecure:
                self._client.tls_insecure_set(True)

    def publish(self, message: Message) -> int:
        """Send a message, or keep it until the socket takes it; its Ack carries the number."""
        return self._client.publish(message.topic, message.payload, message.qos, message.retain).mid

    def step(self, timeout_s: float | None = None, *, unhurried: bool = False) -> None:
        """Wait for the broker or ``wake``, and deal with what came; an end sets ``failure``.

        ``unhurried``: what the broker says does not end the wait, but for its taking leave.
        """
        try:
            self._wait(self._check_every_s if timeout_s is None else timeout_s, unhurried)
            if time.monotonic() >= self._check_at:
                self._check_at = time.monotonic() + self._check_every_s
                self._client.loop_misc()
        except Exception as error:  # paho raises what it likes on a packet that it cannot read
            logger.debug("MQTT: what the broker sent cannot be understood", exc_info=error)
            self._fail("lost", f"what the broker sent cannot be understood: {error!r}")
        if self._client.socket() is None:
            self._fail("lost", "the connection ended")

    def _wait(self, timeout_s: float, unhurried: bool) -> None:
        connected = self._client.socket()
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        if connected is not None:
            writing = select.POLLOUT if self._client.want_write() else 0
            reading = select.POLLRDHUP if unhurried else select.POLLIN
            poll.register(connected.fileno(), reading | writing)
        ready = dict(poll.poll(min(timeout_s, self._check_every_s) * 1e3))
        if ready.pop(self._bell.fileno(), None):
            self._bell.recv(64)
            self._woken = False
            if unhurried and connected is not None:
                poll.register(connected.fileno(), select.POLLIN | writing)
                ready |= dict(poll.poll(0))
        for events in ready.values():
            if events & select.POLLOUT:
                self._client.loop_write()
            if events & ~select.POLLOUT:
                self._client.loop_read()
                # TLS may hold decrypted packets of which the socket no longer tells
                while isinstance(connected, ssl.SSLSocket) and self._pending(connected):
                    self._client.loop_read()

    def _pending(self, connected: ssl.SSLSocket) -> bool:
        return self._client.socket() is connected and connected.pending() > 0

    def _step_until(self, done: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not done() and self.failure is None and (left := deadline - time.monotonic()) > 0:
            self.step(left)
            if self._aborted:
                self._fail("lost", "given up because the monitor stops")

    def wake(self) -> None:
        """End a wait in ``step``; may be called from any thread."""
        if not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):  # stopped meanwhile
                self._waker.send(b"!")

    def abort(self) -> None:
        """Give up a login that the broker has not answered; may be called from any thread."""
        self._aborted = True
        self.wake()

    def goodbye(self, *, answering: bool = True) -> None:
        """Say ``offline`` and take leave, within about two seconds; at once if nobody answers."""
        timeout_s = GOODBYE_TIMEOUT_S if answering else 0.0
        if self._status_topic is not None:
            info = self._client.publish(self._status_topic, OFFLINE, qos=1, retain=True)
            self._step_until(info.is_published, timeout_s)
        self._client.disconnect()
        self._step_until(lambda: self._ended, timeout_s)

    def stop(self) -> None:
        """End the connection, whatever the broker does; may be called twice."""
        connected = self._client.socket()
        if connected is not None:
            connected.close()
        self._waker.close()
        self._bell.close()

    def _fail(self, kind: FailureKind, reason: str) -> None:
        if self.failure is None:
            self.failure = Failure(kind, reason)

    def _on_connect(
        self,
        client: paho.Client,
        _data: object,
        _flags: object,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._fail("login", f"the broker refused the login: {reason}")
            return
        limit = getattr(properties, "ReceiveMaximum", None)
        if limit is not None:
            self.max_in_flight = min(self.max_in_flight, limit)
        if self._status_topic is not None:
            client.publish(self._status_topic, ONLINE, qos=1, retain=True)
        self._answered = True

    def _on_publish(
        self,
        _client: paho.Client,
        _data: object,
        mid: int,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        self.acks.append(Ack(mid, str(reason) if reason.is_failure else ""))

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: object,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        self._ended = True
        unknown = reason.getName() == "Unspecified error"
        why = "closed by the broker or the network" if unknown else str(reason)
        when = "the connection" if self._answered else "before the login was answered, it"
        self._fail("lost", f"{when} ended: {why}")


class _TlsSocket(ssl.SSLSocket):
    """Closes itself where the handshake fails; paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except (OSError, ValueError):
            self.close()
            raise


def tls_context(tls: MqttTls) -> ssl.SSLContext:
    """Return what TLS needs, read now from its files.

    Raises
    ------
    SinkError
        If a file cannot be read, or a certificate and its key do not belong together.
    """
    try:
        context = ssl.create_default_context(cafile=_text(tls.ca_file))
    except (OSError, ValueError) as error:
        msg = f"mqtt.tls.ca_file: {tls.ca_file}: expected PEM certificates: {error}"
        raise SinkError(msg) from error
    if tls.ca_file is not None:
        # Python 3.13 began to ask for extensions that plants' own authorities often lack
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.cert_file is not None:
        try:
            # an empty passphrase, or OpenSSL would ask for one on the terminal
            context.load_cert_chain(tls.cert_file, _text(tls.key_file), password="")
        except (OSError, ValueError) as error:
            msg = (
                f"mqtt.tls: {tls.cert_file} with key {tls.key_file or tls.cert_file}: expected a "
                f"PEM certificate and its key without a passphrase: {error}"
            )
            raise SinkError(msg) from error
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = _TlsSocket
    return context


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
