"""One connection to an MQTT broker, from the first packet to the last.

Each connection has a paho client of its own and is never revived: a broker that lost its
memory, a changed password and a dead network thread are then all the same case. Imports paho,
so it is imported only when a connection is wanted.
"""

import contextlib
import logging
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from asd_monitor.errors import SinkError
from asd_monitor.sinks.mqtt_failure import (
    CONNECT_TIMEOUT_S,
    Failure,
    FailureKind,
    failure_of,
)
from asd_monitor.sinks.mqtt_outbox import OFFLINE, ONLINE, Message
from asd_monitor.sinks.mqtt_settings import MqttSettings, MqttTls

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
    """A connection that is opened once, used, and stopped.

    Parameters
    ----------
    settings, client_id
        Where to connect, and as whom.
    status_topic
        Gets ``online`` on each login, ``offline`` at the end and as the last will.
    wake
        Called from the network thread whenever there is news: an acknowledgement, or the end.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        status_topic: str | None,
        wake: Callable[[], None],
    ) -> None:
        self.acks: deque[Ack] = deque()
        self.failure: Failure | None = None
        self.max_in_flight = MAX_IN_FLIGHT
        self._settings = settings
        self._status_topic = status_topic
        self._wake = wake
        self._answered = threading.Event()
        self._ended = threading.Event()
        version5 = settings.protocol == "5"
        self._client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if version5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client = self._client
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages = MAX_IN_FLIGHT
        client.on_broken = self._broken
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
            self.failure = Failure("settings", str(error))
            return False
        except (OSError, UnicodeError) as error:
            self.failure = failure_of(error, where)
            return False
        self._client.loop_start()
        if not self._answered.wait(ANSWER_TIMEOUT_S):
            self._fail("timeout", f"{where} took the connection but did not answer the login")
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
        """Hand a message to the network thread; returns the number that its Ack will carry."""
        return self._client.publish(message.topic, message.payload, message.qos, message.retain).mid

    def abort(self) -> None:
        """Stop waiting for the broker's answer; may be called from any thread."""
        self._fail("lost", "given up because the monitor stops")

    def goodbye(self) -> None:
        """Say ``offline`` and take leave, within about two seconds."""
        if self._status_topic is not None:
            info = self._client.publish(self._status_topic, OFFLINE, qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):
                info.wait_for_publish(GOODBYE_TIMEOUT_S)
        self._client.disconnect()
        self._ended.wait(GOODBYE_TIMEOUT_S)

    def stop(self) -> None:
        """End the connection and its thread, whatever the broker does; may be called twice."""
        connected = self._client.socket()
        if isinstance(connected, socket.socket):
            # the network thread then reads an end of file, frozen broker or not
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)
        # paho forgets its thread when that ends by itself, also between its own two looks at it
        with contextlib.suppress(AttributeError):
            self._client.loop_stop()

    def _fail(self, kind: FailureKind, reason: str) -> None:
        if self.failure is None:
            self.failure = Failure(kind, reason)
        self._answered.set()
        self._wake()

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
        self._answered.set()

    def _on_publish(
        self,
        _client: paho.Client,
        _data: object,
        mid: int,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        self.acks.append(Ack(mid, str(reason) if reason.is_failure else ""))
        self._wake()

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: object,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        self._ended.set()
        unknown = reason.getName() == "Unspecified error"
        why = "closed by the broker or the network" if unknown else str(reason)
        when = "the connection" if self._answered.is_set() else "before the login was answered,"
        self._fail("lost", f"{when} ended: {why}")

    def _broken(self, error: Exception) -> None:
        logger.debug("MQTT network thread ended by an error", exc_info=error)
        self._ended.set()
        self._fail("lost", f"what the broker sent cannot be understood: {error!r}")


class _Client(paho.Client):
    """paho's client, but for an error in its network thread, which is told instead of lost."""

    on_broken: Callable[[Exception], None]

    def loop_forever(
        self, timeout: float = 1.0, retry_first_connection: bool = False
    ) -> MQTTErrorCode:
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception as error:  # a packet that paho cannot read ends here
            self.on_broken(error)
            return MQTTErrorCode.MQTT_ERR_PROTOCOL


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
