"""The MQTT topics of a monitor, and which names may stand in them."""

from dataclasses import dataclass

from asd_monitor.errors import ConfigError

MAX_NAME_CHARACTERS = 200


def check_name(what: str, name: str, *, levels: bool = False) -> str:
    """Return a name that can be one level of an MQTT topic, or several where ``levels`` is true.

    Raises
    ------
    ConfigError
        If the name is empty or too long, holds ``+``, ``#``, ``/`` (but between levels), a control
        character, or space at an end, or begins with ``$``, which brokers keep for themselves.
    """
    parts = name.split("/") if levels else [name]
    if not all(parts):
        found = "it is empty" if not name else f"{name!r} has an empty level"
        raise ConfigError(f"{what}: expected a name for MQTT topics, but {found}")
    if len(name) > MAX_NAME_CHARACTERS:
        msg = f"{what}: expected at most {MAX_NAME_CHARACTERS} characters, found {len(name)}"
        raise ConfigError(msg)
    refused = "+#" if levels else "+#/"
    bad = sorted({each for each in name if each in refused or not each.isprintable()})
    if bad:
        shown = ", ".join(repr(each) for each in bad)
        msg = f"{what}: {name!r} holds {shown}, which an MQTT topic name must not; choose another"
        raise ConfigError(msg)
    if name.startswith("$") or name != name.strip():
        msg = f"{what}: {name!r} must neither begin with '$' nor begin or end with a space"
        raise ConfigError(msg)
    return name


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics below ``<base>/<node>``; the names are checked when it is made."""

    base: str
    node: str

    def __post_init__(self) -> None:
        check_name("base_topic", self.base, levels=True)
        check_name("node", self.node)

    @property
    def status(self) -> str:
        """``online`` or ``offline``, retained; the last will."""
        return f"{self.base}/{self.node}/status"

    def score(self, machine: str) -> str:
        """Each window's result."""
        return f"{self.base}/{self.node}/{machine}/score"

    def state(self, machine: str) -> str:
        """The present state, retained."""
        return f"{self.base}/{self.node}/{machine}/state"

    def event(self, machine: str) -> str:
        """Each change of state."""
        return f"{self.base}/{self.node}/{machine}/event"

    def health(self, machine: str) -> str:
        """How the source is doing, retained."""
        return f"{self.base}/{self.node}/{machine}/health"

    def availability(self, machine: str) -> str:
        """``online`` while audio arrives, else ``offline``; retained."""
        return f"{self.base}/{self.node}/{machine}/availability"
