"""The MQTT topics of a Sparkplug edge node."""

from dataclasses import dataclass

NAMESPACE = "spBv1.0"


@dataclass(frozen=True, slots=True)
class SparkplugTopics:
    """The topics of an edge node; the names have been checked."""

    group: str
    edge_node: str
    primary_host: str | None = None

    def of_node(self, kind: str) -> str:
        """A topic of the edge node: NBIRTH, NDEATH or NCMD."""
        return f"{NAMESPACE}/{self.group}/{kind}/{self.edge_node}"

    def of_device(self, kind: str, machine: str) -> str:
        """A topic of a machine: DBIRTH, DDATA or DDEATH."""
        return f"{NAMESPACE}/{self.group}/{kind}/{self.edge_node}/{machine}"

    @property
    def host_state(self) -> str | None:
        """The state of the primary host; None without one."""
        return None if self.primary_host is None else f"{NAMESPACE}/STATE/{self.primary_host}"
