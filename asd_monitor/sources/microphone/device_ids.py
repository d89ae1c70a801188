"""Stable ids of microphones, from the system's description of their cards."""

import re
from pathlib import Path

SYS = Path("/sys")
SOUND_SERVER_IDS = frozenset(
    f"alsa:{name}" for name in ("default", "sysdefault", "pulse", "pipewire", "jack")
)
"""Devices of a sound server, which decides, and may change, which microphone they are."""


def stable_id(name: str, host_api: str, sys_root: Path = SYS) -> str:
    """Return an identifier that survives restarts and renumbering.

    A USB card is ``usb:VENDOR:PRODUCT:SERIAL``, or ``usb:VENDOR:PRODUCT@PORT`` if it has no serial
    number; another card is ``card:ID``; both with ``,N`` for a PCM device N other than 0.
    A PCM of the sound server or of asound.conf has no card: ``alsa:NAME``. If several devices
    share a serial number, as cheap ones do, ``devices.with_unique_ids`` adds ``@PORT``.

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


def usb_port(name: str, sys_root: Path = SYS) -> str:
    """Return the port of a USB card, given PortAudio's name; empty for any other device."""
    numbers = re.search(r"\(hw:(\d+),", name)
    if numbers is None:
        return ""
    folder = _usb_folder(sys_root / "class" / "sound" / f"card{numbers[1]}")
    return "" if folder is None else folder.name


def is_stable_id(device: int | str) -> bool:
    """Return whether a device is named by a stable id, not by an index or a name."""
    return isinstance(device, str) and device.startswith(("usb:", "card:", "alsa:"))


def _usb_folder(card: Path) -> Path | None:
    device = (card / "device").resolve()
    folders = (device, *device.parents)
    return next((folder for folder in folders if (folder / "idVendor").is_file()), None)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
