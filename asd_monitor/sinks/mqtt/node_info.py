"""What a monitor publishes about itself, so that others notice it and what it has."""

import hashlib
import json
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from asd_monitor import __version__
from asd_monitor.sinks.payloads import SCHEMA_VERSION, encode, rfc3339

MAX_BYTES = 256_000
MAX_TEXT_CHARACTERS = 200
MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """The retained payload of ``<base>/<node>/info``."""

    node: str
    instance: str
    """Different for each start of a monitor."""
    host: str
    """Name of the computer."""
    host_id: str
    """Different for each computer, even if they have the same name."""
    client_id: str
    """The monitor's id at the broker."""
    started_at: float
    """When the monitor was started, in seconds since the epoch."""
    machines: tuple[str, ...]
    """The machines that it has."""
    published_at: float = 0.0
    """In seconds since the epoch."""

    def encode(self) -> bytes:
        """Return the payload; ``docs/schemas/info.schema.json`` describes it."""
        return encode(
            {
                "schema": SCHEMA_VERSION,
                "node": self.node,
                "ts": rfc3339(self.published_at),
                "instance": self.instance,
                "host": self.host,
                "host_id": self.host_id,
                "client_id": self.client_id,
                "version": __version__,
                "started": rfc3339(self.started_at),
                "machines": list(self.machines),
            }
        )


def parse_info(payload: bytes) -> NodeInfo | None:
    """Return the info in a payload, which any client may have published; None if it is not one."""
    if len(payload) > MAX_BYTES:
        return None
    try:
        members = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    texts = [members.get(name) for name in ("node", "instance", "host", "host_id", "client_id")]
    machines = members.get("machines")
    if not isinstance(machines, list) or not all(map(_is_text, [*texts, *machines])):
        return None
    node, instance, host, host_id, client_id = map(str, texts)
    return NodeInfo(node, instance, host, host_id, client_id, 0.0, tuple(map(str, machines)))


def _is_text(value: object) -> bool:
    """Return whether a value is a short printable text, which can be displayed as it is."""
    return isinstance(value, str) and len(value) <= MAX_TEXT_CHARACTERS and value.isprintable()


def make_host_id(machine_id: Path = MACHINE_ID) -> str:
    """Return an id of this computer, from which its addresses cannot be recovered.

    Computers that were set up from one image often share the machine id, but not the address of
    their network card.
    """
    try:
        identity = machine_id.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        identity = ""
    return hashlib.sha256(f"{identity} {uuid.getnode():012x}".encode()).hexdigest()[:16]


def host_name() -> str:
    """Return the name of this computer as others may display it."""
    return "".join(char for char in socket.gethostname() if char.isprintable())[:100]
