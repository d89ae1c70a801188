"""Settings of the MQTT sink, and reading of its password."""

import ipaddress
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from asd_monitor.errors import ConfigError, SinkError
from asd_monitor.outbox.settings import OutboxSettings
from asd_monitor.settings_file import Name, OnOff, SettingsPath
from asd_monitor.sinks.mqtt.sparkplug.schema import payload_class
from asd_monitor.sinks.mqtt.sparkplug.settings import SparkplugSettings
from asd_monitor.sinks.mqtt.topics import check_name


class MqttTls(BaseModel):
    """Encryption; an empty section trusts the system's certificate authorities."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    ca_file: SettingsPath | None = None
    """PEM file of the authorities to trust instead of the system's."""
    cert_file: SettingsPath | None = None
    """PEM file of this client's certificate, with its chain."""
    key_file: SettingsPath | None = None
    """PEM file of the certificate's key, without a passphrase."""
    insecure: bool = False
    """True: encrypt, but do not verify the identity of the broker."""

    @model_validator(mode="after")
    def _key_needs_certificate(self) -> Self:
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file is given without cert_file; give both")
        return self


class HomeAssistantSettings(BaseModel):
    """Discovery of the machines by Home Assistant."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    prefix: Name = "homeassistant"
    """First level of the topics in which Home Assistant looks for devices."""
    status_topic: Name = "homeassistant/status"
    """Topic in which Home Assistant announces that it has started."""

    @field_validator("prefix", "status_topic")
    @classmethod
    def _check_topic(cls, topic: str, info: ValidationInfo) -> str:
        try:
            return check_name(info.field_name or "topic", topic, levels=True)
        except ConfigError as error:
            raise ValueError(str(error)) from error


class MqttSettings(BaseModel):
    """Where and how results are published over MQTT; null: nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: str = Field(min_length=1)
    """Name or address of the broker; nothing is published over MQTT until it is given."""
    port: int = Field(default=1883, ge=1, le=65535)
    """By convention 1883, and 8883 with TLS."""
    base_topic: Name = "asd"
    """First level of all topics; may be several levels, separated by ``/``."""
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    """Version of MQTT."""
    client_id: str | None = Field(default=None, min_length=1, max_length=200)
    """None: a new id for each start, so that two monitors never disconnect each other."""
    qos_score: Literal[0, 1] = 1
    """1: each score is acknowledged and counted; 0: sent once, a lost connection loses scores."""
    username: str | None = Field(default=None, min_length=1)
    """None: connect without a user name."""
    password_file: SettingsPath | None = None
    """File whose first line is the password; a bare name is looked for in
    ``$CREDENTIALS_DIRECTORY`` first."""
    password_env: str | None = Field(default=None, min_length=1)
    """Name of the environment variable with the password, instead of ``password_file``."""
    tls: Annotated[MqttTls | None, OnOff] = None
    """None: no encryption."""
    home_assistant: Annotated[HomeAssistantSettings | None, OnOff] = None
    """Describes the machines to Home Assistant; None: it is not used."""
    sparkplug: Annotated[SparkplugSettings | None, OnOff] = None
    """Publishes the machines as devices of a Sparkplug B edge node, in addition; None: it does not.
    Needs the extra `sparkplug`."""
    commands: bool = False
    """True: people may acknowledge, judge and shelve by messages to the topics `command`."""
    keepalive_s: int = Field(default=15, ge=5, le=3600)
    """Keep-alive interval of MQTT: a silent connection is checked this often."""
    ack_timeout_s: float = Field(default=15.0, ge=1.0, le=300.0)
    """Reconnect if the broker leaves a message unacknowledged for longer than this."""
    reconnect_min_s: float = Field(default=1.0, ge=0.05, le=60.0)
    """Pause before the first attempt to reconnect; it doubles with every attempt."""
    reconnect_max_s: float = Field(default=5.0, ge=0.05, le=300.0)
    """Longest pause between attempts to reconnect."""
    health_interval_s: float = Field(default=30.0, ge=0.0)
    """Least time between a machine's health or state messages if only counts or reasons change."""
    score_expiry_s: int | None = Field(default=None, ge=1, le=2**32 - 1)
    """The broker discards a score that it could not deliver for so long (MQTT 5); None: never."""
    outbox: Annotated[OutboxSettings | None, OnOff] = OutboxSettings()
    """Scores and events that wait for the broker; off: they are kept in memory only."""
    score_queue: int = Field(default=10_000, ge=1, le=1_000_000)
    """Scores kept in memory while they cannot be stored; of more, the oldest are dropped."""
    event_queue: int = Field(default=1000, ge=1, le=1_000_000)
    """Events kept in memory while they cannot be stored; of more, the oldest are dropped."""

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        with suppress(ValueError):
            return str(ipaddress.ip_address(host.strip("[]")))
        if any(char in "/:@" or char.isspace() for char in host):
            msg = (
                "expected only a host name or address: the port belongs in `port`, and `tls` is "
                "a section of its own"
            )
            raise ValueError(msg)
        return host

    @field_validator("base_topic")
    @classmethod
    def _check_base_topic(cls, base_topic: str) -> str:
        try:
            return check_name("base_topic", base_topic, levels=True)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @field_validator("protocol", mode="before")
    @classmethod
    def _accept_a_number(cls, protocol: object) -> object:
        return str(protocol) if type(protocol) is int else protocol

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.password_file is not None and self.password_env is not None:
            raise ValueError("password_file and password_env are both given; give one")
        has_password = self.password_file is not None or self.password_env is not None
        if has_password and self.username is None:
            raise ValueError("a password is given without username; MQTT needs both")
        if self.score_expiry_s is not None and self.protocol != "5":
            raise ValueError('score_expiry_s needs `protocol: "5"`')
        if self.reconnect_max_s < self.reconnect_min_s:
            raise ValueError("reconnect_max_s must not be less than reconnect_min_s")
        return self

    def find_missing_package(self) -> str:
        """Return what has to be installed for these settings; empty if nothing has."""
        if self.sparkplug is None:
            return ""
        try:
            payload_class()
        except SinkError as error:
            return str(error)
        return ""

    def describe_risk(self) -> str:
        """Return what is insecure about the password, with advice; empty if nothing is."""
        risks = []
        if self.username is not None and self.tls is None and not _is_this_host(self.host):
            risks.append(
                f"mqtt: the password can be read by everyone in the network on the way to "
                f"{self.host}: set `tls: on` and the broker's port for TLS (8883)"
            )
        with suppress(OSError):
            path = None if self.password_file is None else _find_credential(self.password_file)
            if path is not None and path.stat().st_mode & 0o077:
                risks.append(
                    f"mqtt.password_file: {path} can be read by other users: `chmod 600 {path}`"
                )
        return "; ".join(risks)

    def read_password(self) -> str | None:
        """Read the password now; None if none is set.

        Raises
        ------
        SinkError
            If the file cannot be read or the variable is not set.
        """
        if self.password_env is not None:
            password = os.environ.get(self.password_env)
            if password is None:
                msg = f"mqtt.password_env: the environment has no variable {self.password_env}"
                raise SinkError(msg)
            return password
        if self.password_file is None:
            return None
        path = _find_credential(self.password_file)
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SinkError(_describe_read_error(path, error)) from error
        if not lines or not lines[0]:
            raise SinkError(f"mqtt.password_file: {path}: expected the password, found nothing")
        return lines[0]


def _is_this_host(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower().rstrip(".") == "localhost"


def _describe_read_error(path: Path, error: OSError | UnicodeDecodeError) -> str:
    reason = error.strerror if isinstance(error, OSError) else "expected UTF-8 text"
    message = f"mqtt.password_file: cannot read {path.absolute()}: {reason}"
    if "INVOCATION_ID" not in os.environ or isinstance(error, UnicodeDecodeError):
        return message
    return (  # a service, whose user cannot read most files
        f"{message}; pass it to the service with LoadCredential=NAME:FILE in the unit, and set "
        "password_file to that NAME"
    )


def _find_credential(path: Path) -> Path:
    """Return the file in systemd's folder of credentials, if it has one of that name."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and len(path.parts) == 1 and (Path(folder) / path).is_file():
        return Path(folder) / path
    return path
