"""Settings of a microphone."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class MicrophoneSettings(BaseModel):
    """A microphone: its index, its name or part of it, its stable id, or a section of keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    device: int | str
    """Index, name, unique part of a name, or stable id, as `asd-monitor devices` lists them."""
    channel: Annotated[int, Field(ge=0)] | Literal["mean"] = 0
    """Counted from 0, or "mean" of all channels."""
    rate_hz: int | None = Field(default=None, ge=4000, le=768000)
    """Rate to open the device at; by default the device's own, or a higher one where the model
    needs it."""
    latency_s: float = Field(default=2.0, ge=0.05, le=2.0)
    """Length of the device's buffer: shorter stalls of the computer lose no audio. Audio arrives
    about four times per buffer, so a long buffer costs less CPU and a short one less delay."""
    accept_microphone: tuple[str, ...] = ()
    """Stable id, or list of ids, of microphones that may be used although the machine was learned
    with another one."""

    @model_validator(mode="before")
    @classmethod
    def _device_alone(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("expected an index, a name in quotes, or a stable id")
        return {"device": value} if isinstance(value, int | str) else value

    @field_validator("accept_microphone", mode="before")
    @classmethod
    def _one_or_more_ids(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("device")
    @classmethod
    def _number_is_index(cls, device: int | str) -> int | str:
        return int(device) if isinstance(device, str) and device.strip().isdigit() else device

    @property
    def is_live(self) -> bool:
        """Always true: a microphone delivers at the pace of real time."""
        return True

    @property
    def is_endless(self) -> bool:
        """Always true: after a restart a microphone records the same machine."""
        return True

    @property
    def description(self) -> str:
        """The device as the settings name it."""
        return f"microphone {self.device}"
