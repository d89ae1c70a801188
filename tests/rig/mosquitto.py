"""A real mosquitto on a free loopback port, and a client that collects what it delivers."""

import contextlib
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.rig.paths import CONFIGS
from tests.rig.ports import free_port


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 240.0) -> None:
    """Poll until a condition holds; the timeout is long because computers may be busy."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            msg = f"{what}: not within {timeout_s:g} s"
            raise AssertionError(msg)
        time.sleep(0.005)


def shipped_persistence(folder: Path) -> str:
    """Return how the example configuration of the project stores messages, for a folder."""
    lines = (CONFIGS / "mosquitto" / "mosquitto.conf").read_text().splitlines()
    keys = ("persistence ", "autosave_", "max_queued_messages ")
    kept = [line for line in lines if line.startswith(keys)]
    assert len(kept) == 4, kept
    return "\n".join([*kept, f"persistence_location {folder}/"])


def keep_session(client: paho.Client) -> None:
    """Let the broker keep what a :class:`Collector` misses while it is not connected."""
    client._clean_session = False


class Mosquitto:
    """A broker without persistence, which keeps its port over restarts.

    Parameters
    ----------
    folder
        Where its configuration and log go.
    config
        Lines of ``mosquitto.conf``.
    anonymous
        Whether clients without a user name may connect.
    """

    def __init__(self, folder: Path, config: str = "", *, anonymous: bool = True) -> None:
        self.port = free_port()
        self._path = folder / f"mosquitto-{self.port}.conf"
        self._log = folder / f"mosquitto-{self.port}.log"
        self._config = config
        self._anonymous = anonymous
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Mosquitto":
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {str(self._anonymous).lower()}",
            "persistence false",
            "max_queued_messages 0",
            "user root",
            self._config,
        ]
        self._path.write_text("\n".join(lines) + "\n")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/mosquitto", "-c", str(self._path)], stdout=log, stderr=log
            )
        wait_until(self._listens, f"mosquitto at {self.port}; see {self._log}")
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(400)
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> "Mosquitto":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


class DurableBroker(Mosquitto):
    """A broker that stores messages as the example configuration does, and survives a kill.

    It writes its whole database for each message. That is done in memory where possible: on a busy
    disk it takes some 40 messages per second only, and a kill of the broker loses neither.
    """

    def __init__(self, folder: Path) -> None:
        memory = Path("/dev/shm")
        self._database = tempfile.TemporaryDirectory(
            prefix="asd-monitor-broker-", dir=memory if memory.is_dir() else folder
        )
        persistence = shipped_persistence(Path(self._database.name))
        super().__init__(folder, f"{persistence}\nmax_inflight_messages 0")

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._database.cleanup()


@dataclass(frozen=True, slots=True)
class Received:
    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass
class Collector:
    """A subscriber with QoS 1 that collects messages and reconnects after an outage."""

    port: int
    topic: str = "#"
    client_id: str = "collector"
    configure: Callable[[paho.Client], None] | None = None
    messages: list[Received] = field(default_factory=list)
    subscriptions: int = 0

    def __enter__(self) -> "Collector":
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=self.client_id)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.reconnect_delay_set(1, 1)
        if self.configure is not None:
            self.configure(client)
        self._client = client
        self._lock = threading.Lock()
        client.connect_async("127.0.0.1", self.port)
        client.loop_start()
        wait_until(lambda: self.subscriptions > 0, "a subscription")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        with contextlib.suppress(AttributeError):
            self._client.loop_stop()

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe(self.topic, qos=1)

    def _on_subscribe(self, *_: object) -> None:
        self.subscriptions += 1

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        received = Received(
            message.topic, bytes(message.payload), message.qos, bool(message.retain)
        )
        with self._lock:
            self.messages.append(received)

    def of(self, suffix: str) -> list[Received]:
        """Return the messages so far whose topic has this suffix."""
        with self._lock:
            return [message for message in self.messages if message.topic.endswith(suffix)]

    def wait_for(self, suffix: str, count: int = 1) -> list[Received]:
        """Return the messages with this suffix as soon as there are this many."""
        wait_until(lambda: len(self.of(suffix)) >= count, f"{count} messages to {suffix}")
        return self.of(suffix)
