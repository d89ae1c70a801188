"""The settings of a monitor, from a YAML file or from the options of the command line."""

import socket
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    create_model,
    field_validator,
    model_validator,
)

from asd_monitor import settings_file
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.inference_settings import InferenceSettings
from asd_monitor.errors import ConfigError
from asd_monitor.model_file.runtimes import Runtime
from asd_monitor.model_file.settings import ModelSettings
from asd_monitor.processes.ssh import check_address
from asd_monitor.settings_file import Name, OnOff, SettingsPath
from asd_monitor.sinks import SINKS
from asd_monitor.sources import SourceSettings
from asd_monitor.sources.registry import SOURCES
from asd_monitor.unicode_names import derive_id, is_id, to_nfc
from asd_monitor.web.settings import WebSettings

Section = TypeVar("Section", bound=BaseModel)

MAX_DISPLAY_NAME = 80
MIN_LEARNING_RATE_HZ, MAX_LEARNING_RATE_HZ = 8000, 192_000
_NAME_RULE = (
    "expected 1 to 64 letters from a to z, digits, '_', '-' or '.', beginning with a letter or "
    "digit (it becomes a folder, an MQTT topic level and a label)"
)


def check_machine_name(name: str) -> str:
    """Return ``name``; raise ConfigError unless it can be a folder, a topic level and a label."""
    if not is_id(name):
        hint = f"; use {derive_id(name)}, and `name: {name}` in its section to display the name"
        raise ConfigError(f"machine name {name!r}: {_NAME_RULE}{hint if name.strip() else ''}")
    return name


def _check_display_name(name: str) -> str:
    name = to_nfc(name).strip()
    if not 1 <= len(name) <= MAX_DISPLAY_NAME or not name.isprintable():
        msg = f"expected a name of 1 to {MAX_DISPLAY_NAME} characters on one line, found {name!r}"
        raise ValueError(msg)
    return name


DisplayName = Annotated[str, AfterValidator(_check_display_name)]
"""A name for people: any text on one line."""


def _check_learning_rate(value: object) -> int | str:
    rate_hz = int(value) if isinstance(value, str) and value.isdecimal() else value
    is_rate = type(rate_hz) is int and MIN_LEARNING_RATE_HZ <= rate_hz <= MAX_LEARNING_RATE_HZ
    if not is_rate and value != "auto":
        limits = f"from {MIN_LEARNING_RATE_HZ} to {MAX_LEARNING_RATE_HZ}"
        raise ValueError(f"expected a number of Hz {limits}, or auto")
    return cast("int | str", rate_hz)


LearningRate = Annotated[int | Literal["auto"], BeforeValidator(_check_learning_rate)]
"""A sample rate to learn at."""


MAX_UNRECORDED_MINUTES = 120.0
"""460 MB at 16 kHz."""


class LearnSettings(BaseModel):
    """How a machine without a model is learned."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    enabled: bool = True
    """False: refuse to start without a model."""
    minutes: float = Field(default=5.0, ge=0.3, le=7 * 24 * 60)
    """Normal sound to collect before the model is fitted, in minutes; no model can be fitted to
    less than 20 s."""
    while_monitoring: bool = True
    """Extend the calibration with normal sound while a machine is monitored: alarm limits and
    threshold become more exact, within bounds; docs/calibration.md has the reasons."""
    window_s: float | None = Field(default=None, ge=0.5, le=60)
    """Length of a window; None: chosen from the machine's cycle."""
    hop_s: float | None = Field(default=None, ge=0.05, le=60)
    """Distance between the starts of windows; None: 1 s."""
    sample_rate_hz: LearningRate = 16_000
    """Sample rate to learn at, in Hz, and so to monitor at later; faults above half of it are not
    found. auto: 48 or 96 kHz if the microphone offers that and the first minute of sound has more
    above 8 kHz than the microphone's noise, else 16 kHz."""
    keep_recordings: StrictBool | Annotated[float, Field(gt=0, le=36_500)] = True
    """Keep the recordings that a machine is learned from: `true`, a number of days, or `false`: no
    sound is written to the disk. Without them a machine cannot be learned again from them, nor
    refitted, and what its model detects is not measured."""
    remote: Annotated[str, AfterValidator(check_address)] | None = None
    """Computer that fits the models, for one that has no torch: `[USER@]HOST`, or
    `[USER@]HOST:/PATH/OF/asd-monitor`. The recordings are sent there over ssh, which must work
    without a password; it keeps none of them."""
    detectability: bool = True
    """Measure after learning, at the lowest priority, which faults can and cannot be detected."""

    @model_validator(mode="after")
    def _check_memory(self) -> Self:
        if self.keep_recordings is False and self.minutes > MAX_UNRECORDED_MINUTES:
            msg = (
                f"expected at most {MAX_UNRECORDED_MINUTES:g} minutes with `keep_recordings: "
                f"false`, as the sound is then in memory, found {self.minutes:g}"
            )
            raise ValueError(msg)
        return self

    @property
    def kept_days(self) -> float | None:
        """For how many days recordings are kept; None: without limit."""
        if isinstance(self.keep_recordings, bool):
            return None if self.keep_recordings else 0.0
        return self.keep_recordings


_SOURCE_FIELDS: dict[str, Any] = {
    key: (settings | None, None) for key, (settings, _) in SOURCES.items()
}
_SourceKeys = create_model("_SourceKeys", **_SOURCE_FIELDS)


class MachineSettings(_SourceKeys):
    """One machine: its source (one key of ``SOURCES``), its model and its rules."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: DisplayName | None = None
    """Name for people, any text of up to 80 characters; None: the machine's id, its key here."""
    kind: DisplayName | None = None
    """What sort of machine it is, such as `centrifugal pump`, for people."""
    place: DisplayName | None = None
    """Where it is, for people."""
    model: SettingsPath | None = None
    """Model file; None: the one written by commissioning."""
    target: Name | None = None
    """The target of the model file that this machine is; required if there are several."""
    alarm: AlarmSettings | None = None
    """Replaces the alarm section of all machines."""
    learn: LearnSettings | None = None
    """Replaces the learn section of all machines."""

    @model_validator(mode="after")
    def _check_source(self) -> Self:
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


def make_sink_field(settings: type[BaseModel]) -> Any:  # noqa: ANN401 - a field of create_model
    """Return the field of a sink's section, as create_model takes it.

    The section may be null or `off`, which turns the sink off. That is the default if settings are
    required.
    """
    required = any(field.is_required() for field in settings.model_fields.values())
    return Annotated[settings | None, OnOff], None if required else settings()


_SINK_SECTIONS: dict[str, Any] = {
    key: make_sink_field(settings) for key, (settings, _) in SINKS.items()
}
_SinkSections = create_model("_SinkSections", **_SINK_SECTIONS)


class Config(_SinkSections):
    """All settings of a monitor, with a section for each of ``SINKS``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    version: Literal[1] = 1
    """Version of the file format."""
    node: str = Field(default_factory=lambda: socket.gethostname().split(".")[0] or "node")
    """Name of this monitor in MQTT topics; by default the name of the host."""
    state_dir: SettingsPath | None = None
    """Folder of models and recordings; docs/operations.md describes the default."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; auto: on the GPU if there is one."""
    runtime: Runtime = "auto"
    """What runs models: torch, or onnxruntime; auto: torch if it is installed."""
    inference: InferenceSettings = InferenceSettings()
    """How windows are scored."""
    machines: dict[str, MachineSettings] = Field(default_factory=dict)
    """The machines by id, which is a folder, a level of MQTT topics and a label; without any, the
    web page offers to set one up."""
    alarm: AlarmSettings = AlarmSettings()
    """When alarms are raised and cleared."""
    learn: LearnSettings = LearnSettings()
    """How machines without a model are learned."""
    models: ModelSettings = ModelSettings()
    """Whose model files may run."""
    web: Annotated[WebSettings | None, OnOff] = WebSettings()
    """The web page; null: none."""

    @field_validator("node")
    @classmethod
    def _check_node(cls, node: str) -> str:
        if not is_id(node):
            raise ValueError(_NAME_RULE)
        return node

    @field_validator("machines")
    @classmethod
    def _check_machine_names(
        cls, machines: dict[str, MachineSettings]
    ) -> dict[str, MachineSettings]:
        for name in machines:
            try:
                check_machine_name(name)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return machines

    def alarm_of(self, machine: str) -> AlarmSettings:
        """Return the alarm settings of a machine; of one that is not listed, those of all."""
        found = self.machines.get(machine)
        return (None if found is None else found.alarm) or self.alarm

    def learn_of(self, machine: str) -> LearnSettings:
        """Return the learn settings of a machine."""
        return self.machines[machine].learn or self.learn

    @property
    def display_names(self) -> dict[str, str]:
        """The names of the machines for people, by id."""
        return {id_: machine.name or id_ for id_, machine in self.machines.items()}

    @property
    def sinks(self) -> dict[str, BaseModel]:
        """The settings of each sink that is on, by its key in SINKS."""
        sections = {key: section for key, section in self if key in SINKS}
        return {key: section for key, section in sections.items() if section is not None}

    def sink_settings(self, kind: type[Section]) -> Section | None:
        """Return the settings of a sink, given their class; None if the sink is off."""
        sections = (section for section in self.sinks.values() if isinstance(section, kind))
        return next(sections, None)


def load(path: Path) -> Config:
    """Read a configuration file.

    Raises
    ------
    ConfigError
        With file, line and key of every error in it.
    """
    return from_document(settings_file.read(path))


def from_options(options: dict[str, Any]) -> Config:
    """Validate options of the command line, given in the structure of the file."""
    return from_document(settings_file.Document("command line", options, {}))


def from_document(document: settings_file.Document) -> Config:
    """Validate a document; raise ConfigError with the location of every error.

    Without a machine there must be a web page, on which one can be set up.
    """
    config = from_part(document)
    if not config.machines and config.web is None:
        place = document.location(("machines",))
        raise ConfigError(f"{place}: expected at least one machine, or a web page to add one on")
    return config


def from_part(document: settings_file.Document) -> Config:
    """Validate a document as :func:`from_document`, where another one may have the machines."""
    return settings_file.validate(Config, document)
