"""Settings of the Sparkplug edge node."""

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from asd_monitor.errors import ConfigError
from asd_monitor.settings_file import Name
from asd_monitor.sinks.mqtt.topics import check_name


class SparkplugSettings(BaseModel):
    """The monitor as an edge node of Sparkplug B; off: it is none."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    group: Name = "asd"
    """Group of the edge node, such as the site."""
    edge_node: Name | None = None
    """Name of the edge node in its group; None: the name of the monitor."""
    primary_host: Name | None = None
    """Host application that must be online before anything is sent; None: none is awaited."""

    @field_validator("group", "edge_node", "primary_host")
    @classmethod
    def _check_name(cls, name: str | None, info: ValidationInfo) -> str | None:
        try:
            return None if name is None else check_name(info.field_name or "name", name)
        except ConfigError as error:
            raise ValueError(str(error)) from error
