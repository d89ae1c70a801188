"""Which microphones there are, and which one is meant.

PortAudio lists its devices once per process and prints noise while doing so; so it is asked
in a process of its own, and only the answer comes here.
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

COMMON_RATES_HZ = (8000, 16000, 22050, 32000, 44100, 48000, 96000)
LISTING_TIMEOUT_S = 30.0
NO_MICROPHONE = (
    "no microphone found: is it plugged in, does `arecord -l` list it, and may this user open it "
    "(group `audio`)?"
)


class UnknownDeviceError(SourceError):
    """No microphone present answers to that index, name or id."""


class AmbiguousDeviceError(SourceError):
    """Several microphones answer to that part of a name."""


@dataclass(frozen=True, slots=True)
class Microphone:
    """An input device as PortAudio sees it."""

    index: int
    """PortAudio's number; changes when devices come and go."""
    name: str
    host_api: str
    channels: int
    default_rate_hz: int
    rates_hz: tuple[int, ...]
    """Those of the common rates that it can be opened with; empty where not probed."""
    stable_id: str
    """Names the same device after a restart, see :func:`stable_id`."""
    is_default: bool
    port: str = ""
    """USB port, such as ``1-2.4``; empty where it is no USB device."""

    def is_called(self, identity: str) -> bool:
        """Tell whether an id is this device's: its own, or that with its port."""
        return identity in (self.stable_id, f"{self.stable_id}@{self.port}")


def stable_id(name: str, host_api: str, sys_root: Path = Path("/sys")) -> str:
    """Return an identifier that outlives restarts and renumbering.

    A USB card is ``usb:VENDOR:PRODUCT:SERIAL``, or ``usb:VENDOR:PRODUCT@PORT`` where it tells no
    serial number; another card is ``card:ID``; both with ``,N`` for a PCM device N other than 0.
    A PCM of the sound server or of asound.conf has no card: ``alsa:NAME``. Where several devices
    have one serial number, as cheap ones do, :func:`told_apart` adds ``@PORT``.

    Parameters
    ----------
    name
        PortAudio's name of the device; cards carry ``(hw:CARD,DEVICE)`` in it.
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
    """Return the port of a USB card, by PortAudio's name of it; empty for anything else."""
    numbers = re.search(r"\(hw:(\d+),", name)
    if numbers is None:
        return ""
    folder = _usb_folder(sys_root / "class" / "sound" / f"card{numbers[1]}")
    return "" if folder is None else folder.name


def _usb_folder(card: Path) -> Path | None:
    device = (card / "device").resolve()
    folders = (device, *device.parents)
    return next((each for each in folders if (each / "idVendor").is_file()), None)


def told_apart(microphones: Sequence[Microphone]) -> list[Microphone]:
    """Return the microphones, with the port added to ids that several have."""
    times = Counter(each.stable_id for each in microphones)
    return [
        replace(each, stable_id=f"{each.stable_id}@{each.port}")
        if times[each.stable_id] > 1 and each.port
        else each
        for each in microphones
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def query_microphones(portaudio: ModuleType, *, probe_rates: bool) -> list[Microphone]:
    """List the input devices as they were when PortAudio was initialised.

    Parameters
    ----------
    portaudio
        The ``sounddevice`` module.
    probe_rates
        Whether to try the common rates; this opens each device several times.
    """
    host_apis = portaudio.query_hostapis()
    default = max(portaudio.default.device[0], -1)
    if default < 0 and host_apis:
        default = host_apis[0]["default_input_device"]
    found = []
    for device in portaudio.query_devices():
        if device["max_input_channels"] < 1:
            continue
        host_api, index = host_apis[device["hostapi"]]["name"], device["index"]
        found.append(
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
    return told_apart(found)


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
    """List the microphones that are there now; empty where there is none.

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
    answer = json.loads(listing.stdout)
    if isinstance(answer, str):
        raise SourceError(answer)
    return [Microphone(**{**item, "rates_hz": tuple(item["rates_hz"])}) for item in answer]


def resolve_device(
    device: int | str, microphones: Sequence[Microphone], pinned_id: str | None = None
) -> Microphone:
    """Find the microphone that is meant.

    A stable id or a full name wins over a part of a name (upper and lower case are the same).

    Parameters
    ----------
    device
        PortAudio's index, a name, a unique part of a name, or a stable id.
    microphones
        Those present now.
    pinned_id
        Stable id of the device that was found the first time; it wins over everything, and an
        index is never looked up again. Where several have it now, it is not guessed which.

    Raises
    ------
    UnknownDeviceError, AmbiguousDeviceError
        Both are SourceErrors that list the microphones there are.
    """
    matches = _called(pinned_id, microphones) if pinned_id else []
    if isinstance(device, int):
        matches.append([] if pinned_id else [mic for mic in microphones if mic.index == device])
    else:
        lowered = device.lower()
        matches += [
            *_called(device, microphones),
            [mic for mic in microphones if mic.name == device],
            [mic for mic in microphones if lowered in mic.name.lower()],
        ]
    for found in matches:
        if len(found) == 1:
            return found[0]
        if found:
            msg = f"microphone {device!r} could be any of: {_names(found)}; give more, or the id"
            raise AmbiguousDeviceError(msg)
    wanted = pinned_id if isinstance(device, int) and pinned_id else device
    if not microphones:
        raise UnknownDeviceError(f"microphone {wanted!r} is not there: {NO_MICROPHONE}")
    msg = f"microphone {wanted!r} is not there; there are: {_names(microphones)}"
    raise UnknownDeviceError(msg)


def _called(identity: str, microphones: Sequence[Microphone]) -> list[list[Microphone]]:
    """Return those with an id, then those that had it before others came that have it too."""
    shared = [mic for mic in microphones if mic.stable_id == f"{identity}@{mic.port}"]
    return [[mic for mic in microphones if mic.is_called(identity)], shared]


def _names(microphones: Sequence[Microphone]) -> str:
    return ", ".join(f"{mic.index} {mic.name!r} (id {mic.stable_id})" for mic in microphones)


def main() -> None:
    """Print the microphones as JSON, or one string that says why there is no list."""
    with os.fdopen(os.dup(1), "w", encoding="ascii") as answer:
        os.dup2(2, 1)  # sound libraries print
        json.dump(_found(), answer)


def _found() -> list[dict[str, object]] | str:
    try:
        import sounddevice
    except OSError:
        return "PortAudio is not installed: install the package libportaudio2"
    return [asdict(each) for each in query_microphones(sounddevice, probe_rates=True)]


if __name__ == "__main__":
    main()
