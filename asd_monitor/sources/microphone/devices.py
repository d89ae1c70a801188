"""List the microphones.

PortAudio lists its devices only once per process, and sound libraries print while it does. So
the list is made in a separate process, run as ``python -m`` with this module.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import ModuleType

from asd_monitor.errors import SourceError
from asd_monitor.sources.microphone import alsa
from asd_monitor.sources.microphone.device_ids import stable_id, usb_port
from asd_monitor.sources.microphone.unlisted import BRIEFLY_IN_USE, find_unlisted

COMMON_RATES_HZ = (8000, 16000, 22050, 32000, 44100, 48000, 96000, 192_000)
LISTING_TIMEOUT_S = 60.0
LISTING_ATTEMPTS = 3
NO_MICROPHONE = (
    "no microphone found: is it plugged in, does `arecord -l` list it, and may this user open it "
    "(group `audio`)?"
)


@dataclass(frozen=True, slots=True)
class Microphone:
    """An input device, as PortAudio lists it or as the system does if it cannot be opened."""

    index: int | None
    """PortAudio's number; changes when devices are added, removed, or used by other programs.
    None for a device that PortAudio leaves out."""
    name: str
    host_api: str
    channels: int
    default_rate_hz: int
    rates_hz: tuple[int, ...]
    """Common rates at which it can be opened; empty if not probed."""
    stable_id: str
    """Identifies the device across restarts, see :func:`~.device_ids.stable_id`."""
    is_default: bool
    port: str = ""
    """USB port, such as ``1-2.4``; empty if it is not a USB device."""
    unavailable: str = ""
    """Why it cannot be opened now, such as ``in use by arecord (process 4711)``; else empty."""

    @property
    def is_in_use(self) -> bool:
        """Whether it cannot be opened because another program uses it."""
        return self.unavailable.startswith("in use")

    @property
    def label(self) -> str:
        """Name and id, for messages."""
        return f"{self.name!r} (id {self.stable_id})"

    def matches_id(self, device_id: str) -> bool:
        """Return whether an id is this device's, with or without its port."""
        return device_id in (self.stable_id, f"{self.stable_id}@{self.port}")


def with_unique_ids(microphones: Sequence[Microphone]) -> list[Microphone]:
    """Return the microphones, with the port appended to ids that several of them share."""
    counts = Counter(mic.stable_id for mic in microphones)
    return [
        replace(mic, stable_id=f"{mic.stable_id}@{mic.port}")
        if counts[mic.stable_id] > 1 and mic.port
        else mic
        for mic in microphones
    ]


def query_microphones(portaudio: ModuleType, *, probe_rates: bool) -> list[Microphone]:
    """Return the input devices that existed when PortAudio was initialised.

    They are in the order of PortAudio's list, with the devices that it leaves out between them.

    Parameters
    ----------
    portaudio
        The ``sounddevice`` module.
    probe_rates
        Whether to try the common rates, which opens each device several times.
    """
    host_apis = portaudio.query_hostapis()
    default = max(portaudio.default.device[0], -1)
    if default < 0 and host_apis:
        default = host_apis[0]["default_input_device"]
    microphones, outputs = [], {}
    for device in portaudio.query_devices():
        host_api, index = host_apis[device["hostapi"]]["name"], device["index"]
        if device["max_input_channels"] < 1:
            outputs[device["name"]] = index
            continue
        microphones.append(
            Microphone(
                index=index,
                name=device["name"],
                host_api=host_api,
                channels=device["max_input_channels"],
                default_rate_hz=round(device["default_samplerate"]),
                rates_hz=_rates_hz(portaudio, index) if probe_rates else (),
                stable_id=stable_id(device["name"], host_api),
                is_default=index == default,
                port=usb_port(device["name"]),
            )
        )
    return with_unique_ids(_add_unlisted(microphones, outputs))


def _add_unlisted(
    microphones: Sequence[Microphone], outputs: Mapping[str, int]
) -> list[Microphone]:
    """Return the microphones and those that cannot be opened, in the order of PortAudio's list.

    A card in use whose output is free is still listed, as an output only, and keeps its index.
    """
    pcms = alsa.configured_pcms()
    unlisted = [
        Microphone(
            index=outputs.get(device.name),
            name=device.name,
            host_api="ALSA",
            channels=0,
            default_rate_hz=0,
            rates_hz=(),
            stable_id=stable_id(device.name, "ALSA"),
            is_default=False,
            port=usb_port(device.name),
            unavailable=device.reason,
        )
        for device in find_unlisted([mic.name for mic in microphones], pcms)
    ]
    both = [*microphones, *unlisted]
    return sorted(both, key=lambda mic: _place(mic.name, pcms)) if unlisted else both


def _place(name: str, pcms: Sequence[str]) -> tuple[bool, int, int]:
    """Return a PCM's place in PortAudio's list: cards, the PCMs of asound.conf, the default."""
    if numbers := re.search(r"\(hw:(\d+),(\d+)\)", name):
        return False, int(numbers[1]), int(numbers[2])
    return True, pcms.index(name) if name in pcms else len(pcms), 0


def _rates_hz(portaudio: ModuleType, index: int) -> tuple[int, ...]:
    rates = []
    for rate_hz in COMMON_RATES_HZ:
        try:
            portaudio.check_input_settings(index, channels=1, dtype="float32", samplerate=rate_hz)
        except portaudio.PortAudioError:
            continue
        rates.append(rate_hz)
    return tuple(rates)


def list_microphones() -> list[Microphone]:
    """Return the microphones that exist now, including those that other programs use.

    Raises
    ------
    SourceError
        If PortAudio is not installed or does not answer.
    """
    command = [sys.executable, "-m", __name__]
    try:
        listing = subprocess.run(
            command, capture_output=True, text=True, timeout=LISTING_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        msg = f"PortAudio did not list its devices in {LISTING_TIMEOUT_S:.0f} s: a driver hangs"
        raise SourceError(msg) from error
    if listing.returncode != 0 or not listing.stdout:
        msg = (
            f"PortAudio could not list its devices (exit code {listing.returncode}): "
            "is ALSA's configuration (asound.conf, ALSA_CONFIG_PATH) right?"
        )
        raise SourceError(msg)
    result = json.loads(listing.stdout)
    if isinstance(result, str):
        raise SourceError(result)
    return [Microphone(**{**item, "rates_hz": tuple(item["rates_hz"])}) for item in result]


def _query_repeatedly(portaudio: ModuleType) -> list[Microphone]:
    """List the microphones again while another process lists them, and so opens each briefly."""
    for _ in range(LISTING_ATTEMPTS):
        microphones = query_microphones(portaudio, probe_rates=True)
        if all(mic.unavailable != BRIEFLY_IN_USE for mic in microphones):
            break
        portaudio._terminate()
        portaudio._initialize()
    return [mic for mic in microphones if mic.unavailable != BRIEFLY_IN_USE]


def main() -> None:
    """Print the microphones as a JSON list, or a JSON string with an error."""
    with os.fdopen(os.dup(1), "w", encoding="ascii") as output:
        os.dup2(2, 1)  # sound libraries print
        result: list[dict[str, object]] | str
        try:
            import sounddevice
        except OSError:
            result = "PortAudio is not installed: install the package libportaudio2"
        else:
            microphones = _query_repeatedly(sounddevice)
            result = [asdict(mic) for mic in microphones]
        json.dump(result, output)


if __name__ == "__main__":
    main()
