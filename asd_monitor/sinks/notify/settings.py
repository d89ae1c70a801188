"""Settings of notifications, and reading of the recipients' addresses."""

import os
import re
from datetime import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from asd_monitor.errors import SinkError
from asd_monitor.settings_file import SettingsPath

_QUIET_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)")


class Kind(StrEnum):
    """What a notification is about."""

    ALARM = "alarm"
    WARNING = "warning"
    CLEARED = "cleared"
    """The machine is normal again, after a notification of its alarm or warning."""
    LOST = "lost"
    """No usable sound arrives from the machine's source."""
    RECOVERED = "recovered"
    """Sound arrives again."""


class Recipient(BaseModel):
    """An address, in the form of Apprise; exactly one of the keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    url: str | None = Field(default=None, min_length=1, repr=False)
    """The address, such as `ntfy://ntfy.example.com/pumps`."""
    url_file: SettingsPath | None = None
    """File whose first line is the address, if it is secret; a bare name is looked for in
    `$CREDENTIALS_DIRECTORY` first."""
    url_env: str | None = Field(default=None, min_length=1)
    """Name of the environment variable with the address."""

    @model_validator(mode="before")
    @classmethod
    def _accept_text(cls, value: Any) -> Any:  # noqa: ANN401 - a YAML value
        return {"url": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_one(self) -> "Recipient":
        given = [self.url, self.url_file, self.url_env]
        if sum(value is not None for value in given) != 1:
            raise ValueError("expected exactly one of url, url_file and url_env")
        return self

    def read(self) -> str:
        """Return the address.

        Raises
        ------
        SinkError
            If the file cannot be read or the variable is not set; never with the address.
        """
        if self.url is not None:
            return self.url
        if self.url_env is not None:
            address = os.environ.get(self.url_env, "").strip()
            if not address:
                msg = f"notify.to: the environment has no variable {self.url_env}"
                raise SinkError(msg)
            return address
        assert self.url_file is not None  # noqa: S101 - one of the three is given
        path = _find_credential(self.url_file)
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "expected UTF-8 text"
            raise SinkError(f"notify.to: cannot read {path.absolute()}: {reason}") from error
        if not lines[0].strip():
            raise SinkError(f"notify.to: {path}: expected an address, found nothing")
        return lines[0].strip()


def _parse_quiet_hours(value: object) -> object:
    match = _QUIET_HOURS.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return value
    hour, minute, end_hour, end_minute = (int(number) for number in match.groups())
    return time(hour, minute), time(end_hour, end_minute)


QuietHours = Annotated[tuple[time, time], BeforeValidator(_parse_quiet_hours)]


class NotifySettings(BaseModel):
    """Who is notified of what; null: no one."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    to: tuple[Recipient, ...] = Field(min_length=1)
    """Addresses; each receives every notification."""
    events: frozenset[Kind] = frozenset({Kind.ALARM, Kind.CLEARED, Kind.LOST, Kind.RECOVERED})
    """What is notified: `alarm`, `warning`, `cleared`, `lost`, `recovered`."""
    cooldown_minutes: float = Field(15.0, ge=0, le=10_080)
    """After a notification about an event of a machine, further events of it wait this long."""
    repeat_minutes: float | None = Field(60.0, ge=1, le=10_080)
    """An event that is open and unacknowledged is notified again at this interval; null: never."""
    quiet_hours: QuietHours | None = None
    """Such as `22:00-06:00`, in the zone of this computer: notifications wait until their end."""
    urgent: frozenset[Kind] = frozenset()
    """Kinds that are sent in the quiet hours as well."""
    lost_after_s: float = Field(60.0, ge=0, le=86_400)
    """Sound that is missing for less is not notified."""
    picture: bool = True
    """Attach the spectrogram of the event, for services that take one."""
    picture_wait_s: float = Field(30.0, ge=0, le=300)
    """A notification waits at most this long for what changed in the sound, and its picture."""

    @field_validator("quiet_hours")
    @classmethod
    def _check_quiet_hours(cls, hours: tuple[time, time] | None) -> tuple[time, time] | None:
        if hours is not None and hours[0] == hours[1]:
            raise ValueError("expected hours such as 22:00-06:00, found no time between them")
        return hours


def _find_credential(path: Path) -> Path:
    """Return the file in systemd's folder of credentials, if it has one of that name."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and len(path.parts) == 1 and (Path(folder) / path).is_file():
        return Path(folder) / path
    return path
