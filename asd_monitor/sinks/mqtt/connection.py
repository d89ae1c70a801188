"""A single connection to an MQTT broker, from login to disconnection.

Each connection has its own paho client and is never reused, so that a restarted broker, a changed
password and an invalid packet are all handled in the same way: by a new connection.
Imports paho, so it is imported only when a connection is made.
"""

import contextlib
import logging
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from asd_monitor.errors import SinkError
from asd_monitor.sinks.mqtt.failures import (
    CONNECT_TIMEOUT_S,
    Failure,
    FailureKind,
    connect_failure,
)
from asd_monitor.sinks.mqtt.incoming import Incoming
from asd_monitor.sinks.mqtt.messages import OFFLINE, ONLINE, Message
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.tls import make_tls_context

logger = logging.getLogger(__name__)

LOGIN_TIMEOUT_S = 10.0
DISCONNECT_TIMEOUT_S = 1.0
MAX_IN_FLIGHT = 200
MAX_INCOMING = 1000

_LOGIN_CAUSES = {
    "QoS not supported": "; the monitor needs a broker with QoS 1",
    "Retain not supported": "; the monitor needs a broker that retains messages",
    "Packet too large": "; raise the broker's limit of the packet size",
}
"""What a refusal means, by the name of its reason in MQTT 5."""


@dataclass(frozen=True, slots=True)
class Ack:
    """The broker's answer to a message."""

    mid: int
    """The message's id, as :meth:`Connection.publish` returned it."""
    refused: str = ""
    """Why the broker refused the message; empty if it accepted it."""


class Connection:
    """A connection that is opened once, used by one thread, and stopped.

    There is no network thread: :meth:`loop_once` waits for the broker and for :meth:`wake`.

    Parameters
    ----------
    settings, client_id
        Where to connect, and under which id.
    status_topic
        Topic that receives ``online`` by :meth:`publish_status`, and ``offline`` at the end and as
        the last will; None for no status.
    will
        Another message that is published at the end and is the last will; only without a status.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        status_topic: str | None,
        will: Message | None = None,
    ) -> None:
        self.acks: deque[Ack] = deque()
        self.incoming: deque[Incoming] = deque(maxlen=MAX_INCOMING)
        self.subscription: bool | None = None
        """Whether the broker has accepted the subscriptions; None before it has answered."""
        self.has_subscribed = False
        self.answered: deque[int] = deque(maxlen=MAX_INCOMING)
        """Subscriptions that the broker has answered, as :meth:`subscribe` returned them."""
        self.max_packet_bytes: int | None = None
        """The largest packet that the broker accepts, if it says so."""
        self.max_qos = 1
        self.failure: Failure | None = None
        self.max_in_flight = MAX_IN_FLIGHT
        self.client_id = client_id
        self._settings = settings
        self._status_topic = status_topic
        self._will = will
        if status_topic is not None:
            self._will = Message("retained", status_topic, OFFLINE, 1, retain=True)
        self._logged_in = self._disconnected = self._aborted = False
        self._wake_pending = False
        self._next_check_s = 0.0
        self._check_interval_s = settings.keepalive_s / 8
        self._wake_sender, self._wake_receiver = socket.socketpair()
        self._wake_sender.setblocking(False)
        self._wake_receiver.setblocking(False)
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
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        if self._will is not None:
            last = self._will
            client.will_set(last.topic, last.payload, qos=last.qos, retain=last.retain)

    def start(self) -> bool:
        """Connect and log in; return whether that succeeded, else ``failure`` is set."""
        settings = self._settings
        address = f"{settings.host}:{settings.port}"
        try:
            self._set_credentials()
            self._client.connect(settings.host, settings.port, settings.keepalive_s)
        except SinkError as error:
            self._fail("settings", str(error))
        except (OSError, UnicodeError) as error:
            self.failure = connect_failure(error, address)
        self._loop_until(lambda: self._logged_in, LOGIN_TIMEOUT_S)
        if not self._logged_in:
            self._fail("lost", f"{address} accepted the connection but did not answer the login")
        return self.failure is None

    def _set_credentials(self) -> None:
        settings = self._settings
        if settings.username is not None:
            self._client.username_pw_set(settings.username, settings.read_password())
        if settings.tls is not None:
            self._client.tls_set_context(make_tls_context(settings.tls))
            if settings.tls.insecure:
                self._client.tls_insecure_set(True)

    def publish_status(self) -> None:
        """Publish ``online``; after the subscriptions, which deliver the status before."""
        if self._status_topic is not None:
            self._client.publish(self._status_topic, ONLINE, qos=1, retain=True)

    def publish(self, message: Message) -> int:
        """Send a message, or buffer it until the socket accepts it; return its id."""
        qos = min(message.qos, self.max_qos)
        properties = None
        if message.expiry_s is not None and self._settings.protocol == "5":
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = message.expiry_s
        return self._client.publish(
            message.topic, message.payload, qos, message.retain, properties
        ).mid

    def subscribe(self, filters: Sequence[str], *, own: bool = False, qos: int = 0) -> int | None:
        """Receive messages of these topics in ``incoming``; return the id of the subscription.

        With MQTT 5 and unless ``own``, those of this connection are left out.
        """
        self.has_subscribed = True
        if self._settings.protocol == "5":
            options = SubscribeOptions(qos=qos, noLocal=not own)
            return self._client.subscribe([(topic, options) for topic in filters])[1]
        return self._client.subscribe([(topic, qos) for topic in filters])[1]

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Receive messages of these topics no longer."""
        self._client.unsubscribe(list(filters))

    def loop_once(self, timeout_s: float | None = None, *, coalesce: bool = False) -> None:
        """Wait for the broker or :meth:`wake`, and process what arrived.

        Sets ``failure`` if the connection ends. With ``coalesce``, data from the broker does not
        end the wait; it is processed at the next :meth:`wake` or the timeout.
        """
        try:
            self._wait(self._check_interval_s if timeout_s is None else timeout_s, coalesce)
            if time.monotonic() >= self._next_check_s:
                self._next_check_s = time.monotonic() + self._check_interval_s
                self._client.loop_misc()
        except Exception as error:  # paho raises errors of any type for invalid packets
            logger.debug("MQTT: invalid data from the broker", exc_info=error)
            self._fail("lost", f"invalid data from the broker: {error!r}")
        if self._client.socket() is None:
            self._fail("lost", "the connection ended")

    def _wait(self, timeout_s: float, coalesce: bool) -> None:
        connected = self._client.socket()
        poll = select.poll()
        poll.register(self._wake_receiver, select.POLLIN)
        if connected is not None:
            writing = select.POLLOUT if self._client.want_write() else 0
            reading = select.POLLRDHUP if coalesce else select.POLLIN
            poll.register(connected.fileno(), reading | writing)
        ready = dict(poll.poll(min(timeout_s, self._check_interval_s) * 1e3))
        if ready.pop(self._wake_receiver.fileno(), None):
            self._wake_receiver.recv(64)
            self._wake_pending = False
            if coalesce and connected is not None:
                poll.register(connected.fileno(), select.POLLIN | writing)
                ready |= dict(poll.poll(0))
        for events in ready.values():
            if events & select.POLLOUT:
                self._client.loop_write()
            if events & ~select.POLLOUT:
                self._client.loop_read()
                # TLS may hold decrypted packets that poll() no longer reports.
                while isinstance(connected, ssl.SSLSocket) and self._has_pending(connected):
                    self._client.loop_read()

    def _has_pending(self, connected: ssl.SSLSocket) -> bool:
        return self._client.socket() is connected and connected.pending() > 0

    def _loop_until(self, done: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not done() and self.failure is None and time.monotonic() < deadline_s:
            self.loop_once(max(deadline_s - time.monotonic(), 0.0))
            if self._aborted:
                self._fail("lost", "cancelled because the monitor stops")

    def wake(self) -> None:
        """End a wait in :meth:`loop_once`; may be called from any thread."""
        if not self._wake_pending:
            self._wake_pending = True
            with contextlib.suppress(OSError):  # already stopped
                self._wake_sender.send(b"!")

    def abort(self) -> None:
        """Give up a login that the broker has not answered; may be called from any thread."""
        self._aborted = True
        self.wake()

    def disconnect_gracefully(self, *, responsive: bool = True) -> None:
        """Publish ``offline`` or the will, and disconnect, within about two seconds.

        Parameters
        ----------
        responsive
            False: the broker does not answer, so do not wait for it.
        """
        timeout_s = DISCONNECT_TIMEOUT_S if responsive else 0.0
        if self._will is not None:
            last = self._will
            info = self._client.publish(last.topic, last.payload, qos=last.qos, retain=last.retain)
            self._loop_until(info.is_published, timeout_s)
        self._client.disconnect()
        self._loop_until(lambda: self._disconnected, timeout_s)

    def stop(self) -> None:
        """Close the connection without waiting for the broker; may be called twice."""
        connected = self._client.socket()
        if connected is not None:
            connected.close()
        self._wake_sender.close()
        self._wake_receiver.close()

    def _fail(self, kind: FailureKind, reason: str) -> None:
        """Set ``failure`` unless an earlier one is set."""
        if self.failure is None:
            self.failure = Failure(kind, reason)

    def _on_connect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: object,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            cause = _LOGIN_CAUSES.get(reason.getName(), "")
            self._fail("login", f"the broker refused the login: {reason}{cause}")
            return
        limit = getattr(properties, "ReceiveMaximum", None)
        if limit is not None:
            self.max_in_flight = min(self.max_in_flight, limit)
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
        self.max_qos = min(getattr(properties, "MaximumQoS", 1), 1)
        self._logged_in = True

    def _on_publish(
        self,
        _client: paho.Client,
        _data: object,
        mid: int,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        self.acks.append(Ack(mid, str(reason) if reason.is_failure else ""))

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        self.incoming.append(Incoming(topic, bytes(message.payload), bool(message.retain)))

    def _on_subscribe(
        self,
        _client: paho.Client,
        _data: object,
        mid: int,
        reasons: list[ReasonCode],
        _properties: object,
    ) -> None:
        self.subscription = not any(reason.is_failure for reason in reasons)
        self.answered.append(mid)

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: object,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        self._disconnected = True
        if reason.getName() == "Session taken over":
            taken = f"another client logged in with the same client_id, {self.client_id}"
            self._fail("taken_over", f"{taken}, which ends this connection; leave client_id out")
        unknown = reason.getName() == "Unspecified error"
        cause = "closed by the broker or the network" if unknown else str(reason)
        when = "" if self._logged_in else " before the login was answered"
        self._fail("lost", f"the connection ended{when}: {cause}")
