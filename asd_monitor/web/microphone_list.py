"""The inputs among which a page lets people choose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asd_monitor.sources.microphone.channel_reader import MAX_MEAN_CHANNELS
from asd_monitor.sources.microphone.device_ids import SOUND_SERVER_IDS
from asd_monitor.sources.microphone.devices import Microphone
from asd_monitor.web.setup import UsedInput

SEPARATOR = "#"


@dataclass(frozen=True, slots=True)
class Input:
    """A channel of a microphone or sound card."""

    device: str
    """Stable id."""
    channel: int
    name: str
    """What people read: device, and its input if there are several."""
    detail: str = ""
    """Id and port."""
    machine: str = ""
    """The machine that uses it; empty if none."""
    unavailable: str = ""
    """Why it cannot be chosen; empty if it can."""
    is_default: bool = False
    is_sound_server: bool = False
    """Whether a sound server decides which microphone it is."""

    @property
    def key(self) -> str:
        """Value in forms."""
        return f"{self.device}{SEPARATOR}{self.channel}"

    @property
    def can_be_chosen(self) -> bool:
        """Whether a machine can be added with it."""
        return not (self.machine or self.unavailable)


def list_inputs(
    microphones: Sequence[Microphone], in_use: Sequence[UsedInput], names: Mapping[str, str]
) -> list[Input]:
    """Return the inputs, those of cards first.

    Parameters
    ----------
    microphones
        The devices that exist.
    in_use
        The inputs that machines use.
    names
        Names of the machines for people.
    """
    inputs = []
    for microphone in microphones:
        used = [each for each in in_use if each.device == microphone.stable_id]
        known = max([microphone.channels, *(each.channels for each in used)])
        channels = known if 1 < known <= MAX_MEAN_CHANNELS else 1
        if microphone.unavailable and not used:
            channels = 1
        for channel in range(channels):
            machine = next((each.machine for each in used if each.covers(channel)), "")
            if channels == 1 and used:
                machine = used[0].machine
            unavailable = "" if used else microphone.unavailable
            if machine:
                unavailable = f"used by {names.get(machine, machine)}"
            inputs.append(
                Input(
                    device=microphone.stable_id,
                    channel=channel,
                    name=_name(microphone, channel, channels),
                    detail=_detail(microphone),
                    machine=machine,
                    unavailable=unavailable,
                    is_default=microphone.is_default,
                    is_sound_server=microphone.stable_id in SOUND_SERVER_IDS,
                )
            )
    return sorted(inputs, key=lambda each: (each.is_sound_server, bool(each.unavailable)))


def _name(microphone: Microphone, channel: int, channels: int) -> str:
    name = microphone.name.partition(" (hw:")[0]
    return f"{name}, input {channel + 1}" if channels > 1 else name


def _detail(microphone: Microphone) -> str:
    port = f", USB port {microphone.port}" if microphone.port else ""
    return f"{microphone.stable_id}{port}"


def metered(inputs: Sequence[Input], max_devices: int) -> list[Input]:
    """Return the inputs whose levels are shown.

    A sound server may hold the cards or use them together with others, so its own devices are
    opened only where there is nothing else.
    """
    free = [each for each in inputs if each.can_be_chosen]
    cards = [each for each in free if not each.is_sound_server]
    servers = sorted(
        (each for each in free if each.is_sound_server), key=lambda each: not each.is_default
    )
    chosen = cards or servers[:1]
    devices = list(dict.fromkeys(each.device for each in chosen))[:max_devices]
    return [each for each in chosen if each.device in devices]
