"""The MQTT topics of a monitor, and the names allowed in them."""

from dataclasses import dataclass, field

from asd_monitor.errors import ConfigError
from asd_monitor.sinks.payloads import Names

MAX_NAME_CHARACTERS = 200

RETAINED_KINDS = ("availability", "state", "health", "alarm")
"""The last level of each retained topic of a machine."""


def check_name(key: str, name: str, *, levels: bool = False) -> str:
    """Return a name that can be one level of an MQTT topic, or several if ``levels`` is true.

    Raises
    ------
    ConfigError
        If the name is empty or too long; contains ``+``, ``#``, ``/`` (except between levels) or
        a control character; starts with ``$``, which is reserved for brokers; or starts or ends
        with a space.
    """
    parts = name.split("/") if levels else [name]
    if not all(parts):
        found = "it is empty" if not name else f"{name!r} has an empty level"
        raise ConfigError(f"{key}: expected a name for MQTT topics, but {found}")
    if len(name) > MAX_NAME_CHARACTERS:
        msg = f"{key}: expected at most {MAX_NAME_CHARACTERS} characters, found {len(name)}"
        raise ConfigError(msg)
    forbidden = "+#" if levels else "+#/"
    bad = sorted({char for char in name if char in forbidden or not char.isprintable()})
    if bad:
        listed = ", ".join(map(repr, bad))
        msg = f"{key}: {name!r} contains {listed}, which MQTT topics do not allow; choose another"
        raise ConfigError(msg)
    if name.startswith("$") or name != name.strip():
        msg = f"{key}: {name!r} must not start with '$', nor start or end with a space"
        raise ConfigError(msg)
    return name


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics below ``<base>/<node>``; both names are checked on construction."""

    base: str
    node: str
    names: Names = field(default_factory=dict)
    """Names of the machines for people, which the payloads carry."""

    def __post_init__(self) -> None:
        check_name("base_topic", self.base, levels=True)
        check_name("node", self.node)

    @property
    def status(self) -> str:
        """``online`` or ``offline``, retained; the last will."""
        return f"{self.base}/{self.node}/status"

    @property
    def info(self) -> str:
        """The monitor behind the node and its machines, retained."""
        return f"{self.base}/{self.node}/info"

    @property
    def delivered(self) -> str:
        """How far the broker has acknowledged messages, retained."""
        return f"{self.base}/{self.node}/delivered"

    @property
    def check(self) -> str:
        """A message that tests whether the node may publish."""
        return f"{self.base}/{self.node}/check"

    def of_machine(self, machine: str, kind: str, node: str = "") -> str:
        """A topic of a machine, by default of this node; ``kind`` is its last level."""
        return f"{self.base}/{node or self.node}/{machine}/{kind}"

    def machine_of(self, topic: str) -> str | None:
        """Return the machine of one of its retained topics; None for any other topic."""
        prefix = f"{self.base}/{self.node}/"
        machine, _, kind = topic.removeprefix(prefix).rpartition("/")
        is_retained = topic.startswith(prefix) and kind in RETAINED_KINDS
        return machine if is_retained and machine and "/" not in machine else None

    def score(self, machine: str) -> str:
        """The result of each window."""
        return f"{self.base}/{self.node}/{machine}/score"

    def backlog(self, machine: str) -> str:
        """The result of each window that could not be sent when it was made."""
        return f"{self.base}/{self.node}/{machine}/backlog"

    def state(self, machine: str) -> str:
        """The current state, retained."""
        return f"{self.base}/{self.node}/{machine}/state"

    def event(self, machine: str) -> str:
        """Each change of state."""
        return f"{self.base}/{self.node}/{machine}/event"

    def evidence(self, machine: str) -> str:
        """What changed in the sound of an event."""
        return f"{self.base}/{self.node}/{machine}/evidence"

    def health(self, machine: str) -> str:
        """The health of the source, retained."""
        return f"{self.base}/{self.node}/{machine}/health"

    def alarm(self, machine: str) -> str:
        """What people did about the events, retained."""
        return f"{self.base}/{self.node}/{machine}/alarm"

    def command(self, machine: str) -> str:
        """Commands of people; received, if they are allowed."""
        return f"{self.base}/{self.node}/{machine}/command"

    def commanded_machine(self, topic: str) -> str | None:
        """Return the machine of a topic of commands; None for any other topic."""
        prefix = f"{self.base}/{self.node}/"
        machine, _, kind = topic.removeprefix(prefix).rpartition("/")
        is_command = topic.startswith(prefix) and kind == "command"
        return machine if is_command and machine and "/" not in machine else None

    def availability(self, machine: str) -> str:
        """``online`` while audio arrives, else ``offline``; retained."""
        return f"{self.base}/{self.node}/{machine}/availability"
