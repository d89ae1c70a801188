"""Microphones that exist but that PortAudio does not list, because they cannot be opened now.

A card that another program uses is missing from PortAudio's list, like one that is unplugged, and
the devices after it get other indices.
"""

import errno
import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.sources.microphone import alsa

PROC = Path("/proc")
CAPTURE_MODULE = "asd_monitor.sources.microphone.capture_main"
BRIEFLY_IN_USE = "in use a moment ago"
"""It can be opened, but could not when PortAudio made its list."""
IN_USE = "in use by another program"
"""The system does not say by which."""
NOT_PERMITTED = "this user may not open it (group `audio`)"


@dataclass(frozen=True, slots=True)
class UnlistedDevice:
    """A device that cannot be opened at present."""

    name: str
    """In the form of PortAudio's names."""
    reason: str
    """Why: ``in use by arecord (process 4711)``."""


def find_unlisted(
    listed: Collection[str],
    configured_pcms: Sequence[str],
    *,
    proc_root: Path = PROC,
    open_error: Callable[[str], int] = alsa.open_error,
) -> list[UnlistedDevice]:
    """Return the devices that PortAudio leaves out.

    Parameters
    ----------
    listed
        Names of all devices that PortAudio lists for input.
    configured_pcms
        Names of the PCMs of asound.conf.
    proc_root
        The proc file system.
    open_error
        Opens a PCM and returns 0 or the negative ``errno``.
    """
    unlisted = []
    for card, device, name in _capture_pcms(proc_root):
        if any(f"(hw:{card},{device})" in known for known in listed):
            continue
        owner = _owner(proc_root / "asound" / f"card{card}" / f"pcm{device}c")
        if owner is not None:
            reason = f"in use by {describe_process(owner, proc_root)}"
        else:
            reason = _reason(open_error(f"hw:{card},{device}"))
        unlisted.append(UnlistedDevice(name, reason))
    for name in configured_pcms:
        if name not in listed and (error := open_error(name)) in (0, -errno.EBUSY):
            unlisted.append(UnlistedDevice(name, _reason(error)))
    return unlisted


def _reason(error: int) -> str:
    if not error:
        return BRIEFLY_IN_USE
    if error == -errno.EBUSY:
        return IN_USE
    if error in (-errno.EACCES, -errno.EPERM):
        return NOT_PERMITTED
    return f"it cannot be opened: {os.strerror(-error)}"


def _capture_pcms(proc_root: Path) -> list[tuple[int, int, str]]:
    """Return card number, device number and name of each PCM that captures."""
    lines = _text(proc_root / "asound" / "cards")
    cards = dict(re.findall(r"^\s*(\d+) \[.*?\]: .*? - (.*)$", lines, re.MULTILINE))
    pcms = []
    for folder in (proc_root / "asound").glob("card[0-9]*/pcm[0-9]*c"):
        card, device = int(folder.parent.name[4:]), int(folder.name[3:-1])
        info = re.search(r"^name: (.*)$", _text(folder / "info"), re.MULTILINE)
        names = cards.get(str(card), f"card {card}").strip(), info[1].strip() if info else "-"
        pcms.append((card, device, f"{': '.join(names)} (hw:{card},{device})"))
    return sorted(pcms)


def _owner(pcm: Path) -> int | None:
    """Return the process that has opened a PCM; None if none has, or it is not known."""
    for status in sorted(pcm.glob("sub*/status")):
        if found := re.search(r"^owner_pid\s*:\s*(\d+)", _text(status), re.MULTILINE):
            return int(found[1])
    return None


def describe_process(pid: int, proc_root: Path = PROC) -> str:
    """Return the name and id of a process; of a capture process, those of its monitor."""
    folder = proc_root / str(pid)
    if CAPTURE_MODULE in _text(folder / "cmdline").split("\0"):
        parent = re.search(r"^PPid:\s*(\d+)", _text(folder / "status"), re.MULTILINE)
        return f"asd-monitor (process {parent[1] if parent else pid})"
    name = _text(folder / "comm").strip()
    return f"{name} (process {pid})" if name else f"process {pid}"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
