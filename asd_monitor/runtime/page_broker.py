"""The MQTT broker, as the page tries and saves it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asd_monitor.config import from_part
from asd_monitor.errors import ConfigError, StateError
from asd_monitor.settings_file import Document
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.storage.durable import write_durably
from asd_monitor.web.setup import CheckStep

PASSWORD_FILE = "mqtt_password"  # noqa: S105 - the name of a file
_VARIABLE = "ASD_MONITOR_MQTT_PASSWORD_ON_TRIAL"


def try_broker(
    values: Mapping[str, Any], password: str | None, password_path: Path, node: str
) -> list[CheckStep]:
    """Try a broker.

    Parameters
    ----------
    values
        Its section of the settings.
    password
        Its password; None: the saved one.
    password_path
        File of the saved password.
    node
        Name of the monitor.
    """
    from asd_monitor.sinks.mqtt.check import check_broker

    trial = dict(values)
    if password and "username" in trial:
        os.environ[_VARIABLE] = password
        trial["password_env"] = _VARIABLE
    elif "username" in trial and password_path.exists():
        trial["password_file"] = str(password_path)
    try:
        steps = check_broker(validate_mqtt(trial), node)
    finally:
        os.environ.pop(_VARIABLE, None)
    return [CheckStep(step.name, step.ok, step.detail) for step in steps]


def save_password(path: Path, password: str) -> None:
    """Write a password to a file that only its user can read; raise StateError on failure."""
    try:
        write_durably(path, f"{password}\n".encode(), mode=0o600)
    except OSError as error:
        raise StateError(f"{path}: the password cannot be saved: {error.strerror}") from error


def validate_mqtt(values: Mapping[str, Any]) -> MqttSettings:
    """Return the settings of a broker; raise ConfigError if they are invalid."""
    config = from_part(Document("this page", {"mqtt": dict(values)}, {}))
    settings = config.sink_settings(MqttSettings)
    if settings is None:
        raise ConfigError("mqtt: expected the name or address of a broker")
    return settings
