"""Find the microphone that the settings name."""

from collections.abc import Sequence

from asd_monitor.errors import SourceError
from asd_monitor.sources.microphone.device_ids import is_stable_id
from asd_monitor.sources.microphone.devices import NO_MICROPHONE, Microphone
from asd_monitor.sources.microphone.identity import MicrophoneIdentity
from asd_monitor.unicode_names import to_nfc


class UnknownDeviceError(SourceError):
    """Raised if no microphone has this index, name or id."""


class AmbiguousDeviceError(SourceError):
    """Raised if several microphones match this name or id, or an index may mean another one."""


class UnavailableDeviceError(SourceError):
    """Raised if the microphone is there but cannot be opened: another program uses it."""


def resolve_device(
    device: int | str, microphones: Sequence[Microphone], pinned: MicrophoneIdentity | None = None
) -> Microphone:
    """Find the microphone that the settings name, and that can be opened.

    Raises
    ------
    UnknownDeviceError, AmbiguousDeviceError
        As :func:`find_device` does.
    UnavailableDeviceError
        If the microphone cannot be opened now; the message says who uses it.
    """
    microphone = find_device(device, microphones, pinned)
    if microphone.unavailable:
        msg = f"microphone {microphone.label} cannot be used: {microphone.unavailable}"
        raise UnavailableDeviceError(msg)
    return microphone


def find_device(
    device: int | str, microphones: Sequence[Microphone], pinned: MicrophoneIdentity | None = None
) -> Microphone:
    """Find the microphone that the settings name, whether or not it can be opened.

    A stable id or a full name takes precedence over a part of a name, whose case is ignored.

    Parameters
    ----------
    device
        PortAudio's index, a name, a unique part of a name, or a stable id.
    microphones
        The microphones that exist now.
    pinned
        The device that was found the first time. Only this device is looked for
        then, whichever devices now have the index or match the name.

    Raises
    ------
    UnknownDeviceError, AmbiguousDeviceError
        If no or several microphones match; the message lists the available ones.
    """
    for candidates in _candidates(device, microphones, pinned):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            listed = list_names(candidates)
            msg = f"microphone {device!r} matches several: {listed}; use its full name or id"
            raise AmbiguousDeviceError(msg)
    requested = repr(device)
    if pinned is not None and (isinstance(device, int) or is_stable_id(device)):
        requested = pinned.label
    if not microphones:
        raise UnknownDeviceError(f"microphone {requested} was not found: {NO_MICROPHONE}")
    msg = f"microphone {requested} was not found; available: {list_names(microphones)}"
    raise UnknownDeviceError(msg)


def _candidates(
    device: int | str, microphones: Sequence[Microphone], pinned: MicrophoneIdentity | None
) -> list[list[Microphone]]:
    """Return sets of candidates, in order of precedence."""
    if pinned is not None:
        return [[mic for mic in microphones if pinned.is_same(mic)]]
    if isinstance(device, int):
        return [_with_index(device, microphones)]
    wanted_name = to_nfc(device)
    lowered = wanted_name.lower()
    named = [(to_nfc(mic.name), mic) for mic in microphones]
    return [
        *_with_id(device, microphones),
        [mic for name, mic in named if name == wanted_name],
        [mic for name, mic in named if lowered in name.lower()],
    ]


def _with_index(index: int, microphones: Sequence[Microphone]) -> list[Microphone]:
    """Return the device with an index, unless devices in use may have shifted it."""
    found = [mic for mic in microphones if mic.index == index]
    before = microphones[: microphones.index(found[0])] if found else microphones
    left_out = [mic for mic in before if mic.index is None and mic.is_in_use]
    if not left_out:
        return found
    present = f"it is {list_names(found)} now" if found else "no microphone has this index now"
    msg = (
        f"microphone {index}: {present}, but indices are shifted while a microphone is in "
        f"use: {list_names(left_out)}; name the microphone by its id instead"
    )
    raise AmbiguousDeviceError(msg)


def _with_id(device_id: str, microphones: Sequence[Microphone]) -> list[list[Microphone]]:
    """Return the devices with an id, then those that had it until another one shared it."""
    shared = [mic for mic in microphones if mic.stable_id == f"{device_id}@{mic.port}"]
    return [[mic for mic in microphones if mic.matches_id(device_id)], shared]


def list_names(microphones: Sequence[Microphone]) -> str:
    """Return index, name and id of microphones, and why they cannot be opened, for an error."""
    return ", ".join(_describe(microphone) for microphone in microphones)


def _describe(mic: Microphone) -> str:
    number = "" if mic.index is None else f"{mic.index} "
    reason = f"; {mic.unavailable}" if mic.unavailable else ""
    return f"{number}{mic.name!r} (id {mic.stable_id}{reason})"
