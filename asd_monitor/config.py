"""The settings of a monitor: one YAML file, or the command line's options, validated and frozen."""

import re
import socket
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    create_model,
    field_validator,
    model_validator,
)

from asd_monitor import settings_file
from asd_monitor.detection.alarm import AlarmSettings
from asd_monitor.errors import ConfigError
from asd_monitor.settings_file import SettingsPath
from asd_monitor.sinks import SINKS
from asd_monitor.sources import SourceSettings
from asd_monitor.sources.registry import SOURCES

Section = TypeVar("Section", bound=BaseModel)

_MACHINE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_machine_name(name: str) -> str:
    """Return ``name``; raise ConfigError unless it can be a folder, a topic level and a label."""
    if not _MACHINE_NAME.fullmatch(name):
        msg = (
            f"machine name {name!r}: expected 1 to 64 letters, digits, '_', '-' or '.', beginning "
            "with a letter or digit (it becomes a folder, an MQTT topic level and a label)"
        )
        raise ConfigError(msg)
    return name


class LearnSettings(BaseModel):
    """How a machine without a model is learned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """False: refuse to start without a model."""
    minutes: float = Field(default=5.0, ge=0.3, le=7 * 24 * 60)
    """How much normal sound is collected before the model is fitted; less than 20 s is too little
    for any model."""
    window_s: float | None = Field(default=None, ge=0.5, le=60)
    """Length of a window; chosen from the machine's cycle where not given."""
    hop_s: float | None = Field(default=None, ge=0.05, le=60)
    """Distance between the starts of windows; 1 s where not given."""


_SOURCE_FIELDS: dict[str, Any] = {
    key: (settings | None, None) for key, (settings, _) in SOURCES.items()
}
_SourceKeys = create_model("_SourceKeys", **_SOURCE_FIELDS)


class MachineSettings(_SourceKeys):
    """One machine: its source (one key of ``SOURCES``), its model and its rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: SettingsPath | None = None
    """Model file; the one that commissioning wrote where not given."""
    target: str | None = None
    """Which of the model file's targets this machine is; needed when it has several."""
    alarm: AlarmSettings | None = None
    """In place of the alarm section of the whole file."""
    learn: LearnSettings | None = None
    """In place of the learn section of the whole file."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        found = [key for key in SOURCES if getattr(self, key) is not None]
        if len(found) != 1:
            msg = f"expected one of {', '.join(SOURCES)}, found {' and '.join(found) or 'none'}"
            raise ValueError(msg)
        return self

    @property
    def source_key(self) -> str:
        """The key of ``SOURCES`` that is set."""
        return next(key for key in SOURCES if getattr(self, key) is not None)

    @property
    def source(self) -> SourceSettings:
        """The settings of the machine's source."""
        settings: SourceSettings = getattr(self, self.source_key)
        return settings


def sink_section(settings: type[BaseModel]) -> Any:  # noqa: ANN401 - a field of create_model
    """Return a sink's section, which may be null; it is by default if it has required settings."""
    required = any(field.is_required() for field in settings.model_fields.values())
    return settings | None, None if required else settings()


_SINK_SECTIONS: dict[str, Any] = {
    key: sink_section(settings) for key, (settings, _) in SINKS.items()
}
_SinkSections = create_model("_SinkSections", **_SINK_SECTIONS)


class Config(_SinkSections):
    """All settings of a monitor, with a section for each of ``SINKS``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Version of this file's form."""
    node: str = Field(default_factory=lambda: socket.gethostname().split(".")[0] or "node")
    """Name of this monitor in MQTT topics; the host's name where not given."""
    state_dir: SettingsPath | None = None
    """Where models and recordings are kept; see docs/operations.md for where that is by default."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the models run; auto takes a GPU where there is one."""
    machines: dict[str, MachineSettings] = Field(min_length=1)
    """The machines by name."""
    alarm: AlarmSettings = AlarmSettings()
    learn: LearnSettings = LearnSettings()

    @field_validator("node")
    @classmethod
    def _node_is_a_topic_level(cls, node: str) -> str:
        try:
            return check_machine_name(node)
        except ConfigError as error:
            raise ValueError(str(error).replace("machine name", "node", 1)) from error

    @field_validator("machines")
    @classmethod
    def _names_are_usable(cls, machines: dict[str, MachineSettings]) -> dict[str, MachineSettings]:
        for name in machines:
            try:
                check_machine_name(name)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return machines

    def alarm_of(self, machine: str) -> AlarmSettings:
        """Return a machine's alarm rules."""
        return self.machines[machine].alarm or self.alarm

    def learn_of(self, machine: str) -> LearnSettings:
        """Return a machine's commissioning rules."""
        return self.machines[machine].learn or self.learn

    @property
    def sinks(self) -> dict[str, BaseModel]:
        """The settings of each sink that is on, by its key in SINKS."""
        sections = {key: section for key, section in self if key in SINKS}
        return {key: section for key, section in sections.items() if section is not None}

    def sink_settings(self, kind: type[Section]) -> Section | None:
        """Return the settings of one sink by their class; None where the sink is off."""
        return next((each for each in self.sinks.values() if isinstance(each, kind)), None)


def load(path: Path) -> Config:
    """Read a configuration file.

    Raises
    ------
    ConfigError
        With file, line and key, for every mistake in it.
    """
    return from_document(settings_file.read(path))


def from_options(options: dict[str, Any]) -> Config:
    """Make a configuration of the command line's options, in the shape of the file."""
    return from_document(settings_file.Document("command line", options, {}))


def from_document(document: settings_file.Document) -> Config:
    """Validate a document, with the sections of all sinks; raise ConfigError for its mistakes."""
    return settings_file.validate(Config, document)
