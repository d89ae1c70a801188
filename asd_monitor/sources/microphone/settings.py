"""Settings of a microphone."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from asd_monitor.sources.microphone.devices import Microphone, UnknownDeviceError, resolve_device


class MicrophoneSettings(BaseModel):
    """A microphone: its index, its name or part of it, its stable id, or a section of keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    device: int | str
    """Index, name, unique part of a name, or stable id, as `asd-monitor devices` lists them."""
    channel: Annotated[int, Field(ge=0)] | Literal["mean"] = 0
    """Counted from 0, or "mean" of all channels."""
    rate_hz: int | None = Field(default=None, ge=4000, le=768000)
    """Rate to open the device at; by default the device's own."""
    latency_s: float = Field(default=2.0, ge=0.05, le=2.0)
    """Length of the device's buffer: shorter stalls of the computer lose no audio. Audio arrives
    about four times per buffer, so a long buffer costs less CPU and a short one less delay."""

    @model_validator(mode="before")
    @classmethod
    def _device_alone(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("expected an index, a name in quotes, or a stable id")
        return {"device": value} if isinstance(value, int | str) else value

    @field_validator("device")
    @classmethod
    def _number_is_index(cls, device: int | str) -> int | str:
        return int(device) if isinstance(device, str) and device.strip().isdigit() else device

    @property
    def is_live(self) -> bool:
        """Always true: a microphone delivers at the pace of real time."""
        return True

    @property
    def description(self) -> str:
        """The device as the settings name it."""
        return f"microphone {self.device}"


def pin_devices(
    settings: Sequence[MicrophoneSettings], microphones: Sequence[Microphone]
) -> list[MicrophoneSettings]:
    """Replace device indices by stable ids, before a change of the devices renumbers them.

    A name that no microphone has stays as it is: the device may be plugged in later.

    Raises
    ------
    SourceError
        If there is no device with an index, or a part of a name fits several microphones.
    """
    pinned = []
    for microphone in settings:
        is_index = isinstance(microphone.device, int)
        try:
            stable_id = resolve_device(microphone.device, microphones).stable_id
        except UnknownDeviceError:
            if is_index:
                raise
            pinned.append(microphone)
        else:
            device = stable_id if is_index else microphone.device
            pinned.append(microphone.model_copy(update={"device": device}))
    return pinned
