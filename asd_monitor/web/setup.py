"""What the set-up and settings pages may change in the monitor.

The runtime implements :class:`Setup`; the pages know nothing else of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from asd_monitor.sources.microphone.device_capture import DeviceCapture


@dataclass(frozen=True, slots=True)
class MachineDraft:
    """A machine as a page describes it."""

    name: str
    """Name for people; the id is derived from it."""
    device: str
    """Stable id of its microphone."""
    channel: int = 0
    """Channel of the microphone, from 0."""
    minutes: float = 5.0
    """Normal sound to learn from."""
    kind: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class CheckStep:
    """Result of one step of a check, for the user."""

    name: str
    is_ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class SettingValue:
    """A setting in effect, and where its value comes from."""

    key: str
    """Key in the configuration file, such as `mqtt.host`."""
    value: str
    origin: str
    """``file``, ``options``, ``page`` or ``default``."""
    place: str = ""
    """File and line, if the value is in a file."""


@dataclass(frozen=True, slots=True)
class SettingField:
    """A setting that a page may change."""

    key: str
    value: str
    help: str
    """What it means, from the settings' own documentation."""
    choices: tuple[str, ...] = ()
    """Values that are allowed; empty for a number."""


@dataclass(frozen=True, slots=True)
class MachineDetails:
    """What is known of a machine besides its sound."""

    name: str
    kind: str
    place: str
    source: str
    """Its microphone or recordings, in words."""
    is_fixed: bool
    """Whether the configuration defines it, so that pages cannot change it."""


@dataclass(frozen=True, slots=True)
class UsedInput:
    """A channel of a device that a machine uses."""

    device: str
    """Stable id."""
    channel: int | Literal["mean"]
    machine: str
    channels: int
    """Channels of the device; 0 while that is not known."""

    def covers(self, channel: int) -> bool:
        """Return whether it is a channel, or the mean of all."""
        return self.channel in ("mean", channel)


class Setup(Protocol):
    """Change the monitor and its settings; methods raise AsdMonitorError for the user."""

    @property
    def refusal(self) -> str:
        """Why no machine can be added on pages; empty if they can."""

    def inputs_in_use(self) -> Sequence[UsedInput]:
        """Return the inputs that machines use."""

    def capture_of(self, device: str) -> DeviceCapture | None:
        """Return the capture of a device that a machine uses; None for one in no use."""

    def find_id(self, name: str) -> str:
        """Return the id of a machine to be added; raise ConfigError if the name cannot be used."""

    def check(self, draft: MachineDraft) -> None:
        """Raise AsdMonitorError if the machine could not be added."""

    def add_machine(self, draft: MachineDraft) -> str:
        """Save a machine, add it to the running monitor, and return its id."""

    def pause_learning(self, machine: str, *, pause: bool) -> None:
        """Pause or continue learning a machine; without effect on one that is not learned."""

    def is_learning(self, machine: str) -> bool:
        """Return whether a machine is being learned."""

    def is_paused(self, machine: str) -> bool:
        """Return whether learning a machine is paused."""

    def machines(self) -> Mapping[str, MachineDetails]:
        """Return the machines of the settings, by id."""

    def about(self, machine: str) -> str:
        """Return kind and place of a machine; empty if neither is known."""

    def change_machine(self, machine: str, *, name: str, kind: str, place: str) -> None:
        """Save what people see of a machine; the running monitor uses it at once."""

    def remove_machine(self, machine: str) -> None:
        """Remove a machine from the settings, and end monitoring it."""

    def fixed_sections(self) -> Sequence[str]:
        """Return the sections that the configuration sets, so that pages cannot."""

    def section(self, name: str) -> Mapping[str, Any]:
        """Return the values of a section; empty if it is off."""

    def fields(self, name: str, keys: Sequence[str] = ()) -> Sequence[SettingField]:
        """Return the numbers and choices of a section, or those of them that are named."""

    def save_fields(self, name: str, values: Mapping[str, str]) -> None:
        """Save numbers and choices of a section, and use them."""

    def sensitivities(self) -> Mapping[str, str]:
        """Return the words for the sensitivity of the alarm, and what they mean."""

    def sensitivity(self) -> str:
        """Return the sensitivity of the alarm: ``low``, ``medium``, ``high`` or ``custom``."""

    def save_sensitivity(self, word: str) -> None:
        """Save the sensitivity of the alarm, and use it."""

    def recipients(self) -> Sequence[str]:
        """Return who is notified, without what is secret in the addresses."""

    def check_recipient(self, address: str) -> Sequence[CheckStep]:
        """Send a test message to an address."""

    def add_recipient(self, address: str) -> None:
        """Save an address that is notified from now on."""

    def remove_recipient(self, number: int) -> None:
        """Remove an address, counted from 0."""

    def check_mqtt(self, values: Mapping[str, Any], password: str | None) -> Sequence[CheckStep]:
        """Try a broker; None: with the saved password."""

    def save_mqtt(self, values: Mapping[str, Any] | None, password: str | None) -> None:
        """Save the broker and use it; None for ``values``: publish nothing."""

    def describe(self) -> Sequence[SettingValue]:
        """Return all settings with their origins."""

    @property
    def needs_restart(self) -> bool:
        """Whether settings were saved that the running monitor does not use yet."""
