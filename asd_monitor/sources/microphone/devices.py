"""List the microphones, and find the one that the settings name.

PortAudio lists its devices only once per process, and sound libraries print while it does. So
the list is made in a separate process, run as ``python -m`` with this module.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType

from asd_monitor.errors import SourceError
from asd_monitor.unicode_names import to_nfc

COMMON_RATES_HZ = (8000, 16000, 22050, 32000, 44100, 48000, 96000)
LISTING_TIMEOUT_S = 30.0
NO_MICROPHONE = (
    "no microphone found: is it plugged in, does `arecord -l` list it, and may this user open it "
    "(group `audio`)?"
)


class UnknownDeviceError(SourceError):
    """Raised if no microphone has this index, name or id."""


class AmbiguousDeviceError(SourceError):
    """Raised if several microphones match this name or id."""


@dataclass(frozen=True, slots=True)
class Microphone:
    """An input device as PortAudio sees it."""

    index: int
    """PortAudio's number; changes when devices are added or removed."""
    name: str
    host_api: str
    channels: int
    default_rate_hz: int
    rates_hz: tuple[int, ...]
    """Common rates at which it can be opened; empty if not probed."""
    stable_id: str
    """Identifies the device across restarts, see :func:`stable_id`."""
    is_default: bool
    port: str = ""
    """USB port, such as ``1-2.4``; empty if it is not a USB device."""

    def matches_id(self, device_id: str) -> bool:
        """Return whether an id is this device's, with or without its port."""
        return device_id in (self.stable_id, f"{self.stable_id}@{self.port}")


def stable_id(name: str, host_api: str, sys_root: Path = Path("/sys")) -> str:
    """Return an identifier that survives restarts and renumbering.

    A USB card is ``usb:VENDOR:PRODUCT:SERIAL``, or ``usb:VENDOR:PRODUCT@PORT`` if it has no serial
    number; another card is ``card:ID``; both with ``,N`` for a PCM device N other than 0.
    A PCM of the sound server or of asound.conf has no card: ``alsa:NAME``. If several devices
    share a serial number, as cheap ones do, :func:`with_unique_ids` adds ``@PORT``.

    Parameters
    ----------
    name
        PortAudio's name of the device; that of a card contains ``(hw:CARD,DEVICE)``.
    """
    numbers = re.search(r"\(hw:(\d+),(\d+)\)", name)
    if numbers is None:
        return f"{host_api.lower()}:{name}"
    card = sys_root / "class" / "sound" / f"card{numbers[1]}"
    suffix = "" if numbers[2] == "0" else f",{numbers[2]}"
    folder = _usb_folder(card)
    if folder is not None:
        usb = ":".join(("usb", _text(folder / "idVendor"), _text(folder / "idProduct")))
        serial = _text(folder / "serial")
        return (f"{usb}:{serial}" if serial else f"{usb}@{folder.name}") + suffix
    card_id = _text(card / "id")
    return f"card:{card_id}{suffix}" if card_id else f"{host_api.lower()}:{name}"


def usb_port(name: str, sys_root: Path = Path("/sys")) -> str:
    """Return the port of a USB card, given PortAudio's name; empty for any other device."""
    numbers = re.search(r"\(hw:(\d+),", name)
    if numbers is None:
        return ""
    folder = _usb_folder(sys_root / "class" / "sound" / f"card{numbers[1]}")
    return "" if folder is None else folder.name


def _usb_folder(card: Path) -> Path | None:
    device = (card / "device").resolve()
    folders = (device, *device.parents)
    return next((folder for folder in folders if (folder / "idVendor").is_file()), None)


def with_unique_ids(microphones: Sequence[Microphone]) -> list[Microphone]:
    """Return the microphones, with the port appended to ids that several of them share."""
    counts = Counter(mic.stable_id for mic in microphones)
    return [
        replace(mic, stable_id=f"{mic.stable_id}@{mic.port}")
        if counts[mic.stable_id] > 1 and mic.port
        else mic
        for mic in microphones
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def query_microphones(portaudio: ModuleType, *, probe_rates: bool) -> list[Microphone]:
    """Return the input devices that existed when PortAudio was initialised.

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
    microphones = []
    for device in portaudio.query_devices():
        if device["max_input_channels"] < 1:
            continue
        host_api, index = host_apis[device["hostapi"]]["name"], device["index"]
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
    return with_unique_ids(microphones)


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
    """Return the microphones that are available now.

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


def resolve_device(
    device: int | str, microphones: Sequence[Microphone], pinned_id: str | None = None
) -> Microphone:
    """Find the microphone that the settings name.

    A stable id or a full name takes precedence over a part of a name, whose case is ignored.

    Parameters
    ----------
    device
        PortAudio's index, a name, a unique part of a name, or a stable id.
    microphones
        The microphones that are available now.
    pinned_id
        Stable id of the device that was found the first time. It takes precedence over everything,
        and an index is never looked up again.

    Raises
    ------
    UnknownDeviceError, AmbiguousDeviceError
        If no or several microphones match; the message lists the available ones.
    """
    # Sets of candidates, in order of precedence.
    matches = _with_id(pinned_id, microphones) if pinned_id else []
    if isinstance(device, int):
        matches.append([] if pinned_id else [mic for mic in microphones if mic.index == device])
    else:
        wanted_name = to_nfc(device)
        lowered = wanted_name.lower()
        names = {mic.index: to_nfc(mic.name) for mic in microphones}
        matches += [
            *_with_id(device, microphones),
            [mic for mic in microphones if names[mic.index] == wanted_name],
            [mic for mic in microphones if lowered in names[mic.index].lower()],
        ]
    for candidates in matches:
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            listed = _names(candidates)
            msg = f"microphone {device!r} matches several: {listed}; use its full name or id"
            raise AmbiguousDeviceError(msg)
    requested = pinned_id if isinstance(device, int) and pinned_id else device
    if not microphones:
        raise UnknownDeviceError(f"microphone {requested!r} was not found: {NO_MICROPHONE}")
    msg = f"microphone {requested!r} was not found; available: {_names(microphones)}"
    raise UnknownDeviceError(msg)


def _with_id(device_id: str, microphones: Sequence[Microphone]) -> list[list[Microphone]]:
    """Return the devices with an id, then those that had it until another one shared it."""
    shared = [mic for mic in microphones if mic.stable_id == f"{device_id}@{mic.port}"]
    return [[mic for mic in microphones if mic.matches_id(device_id)], shared]


def _names(microphones: Sequence[Microphone]) -> str:
    return ", ".join(f"{mic.index} {mic.name!r} (id {mic.stable_id})" for mic in microphones)


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
            microphones = query_microphones(sounddevice, probe_rates=True)
            result = [asdict(mic) for mic in microphones]
        json.dump(result, output)


if __name__ == "__main__":
    main()
