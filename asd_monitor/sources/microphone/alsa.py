"""ALSA itself, for what PortAudio does not report: why a device is not in its list.

These functions may print, and a driver may hang in them, so they are called in the processes that
use PortAudio, and never in the monitor.
"""

import ctypes
import re
from collections.abc import Iterator

CAPTURE, NONBLOCK = 1, 1

_PREDEFINED = re.compile(
    "hw|plughw|plug|shm|tee|file|null|cards|default|sysdefault|front|rear|center_lfe|side|"
    r"surround\d+|iec958|spdif|hdmi|dmix|dsnoop|modem|phoneline|dpl2?|usbstream|samplerate.*|speexrate.*|lavrate.*|rate_convert|"
    "upmix|vdownmix|a52|speex|jack|oss"
)
"""Nodes of ALSA's own files: patterns, or other names of the cards, which are listed as cards."""


def _load() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libasound.so.2")
    except OSError:
        return None


def open_error(name: str) -> int:
    """Open a PCM for capture and close it again; return 0 or the negative ``errno``."""
    library = _load()
    if library is None:
        return 0
    pcm = ctypes.c_void_p()
    error = int(library.snd_pcm_open(ctypes.byref(pcm), name.encode(), CAPTURE, NONBLOCK))
    if error >= 0:
        library.snd_pcm_close(pcm)
    return min(error, 0)


def configured_pcms() -> list[str]:
    """Return the PCMs that asound.conf defines, in the order in which PortAudio lists them."""
    library = _load()
    if library is None or library.snd_config_update() < 0:
        return []
    return [name for name in _pcm_nodes(library) if not _PREDEFINED.fullmatch(name)]


def _pcm_nodes(library: ctypes.CDLL) -> Iterator[str]:
    pointer = ctypes.c_void_p
    for function in ("iterator_first", "iterator_next", "iterator_end", "iterator_entry"):
        getattr(library, f"snd_config_{function}").restype = pointer
    root, pcms = pointer.in_dll(library, "snd_config"), pointer()
    if library.snd_config_search(root, b"pcm", ctypes.byref(pcms)) < 0:
        return
    end = library.snd_config_iterator_end(pcms)
    at = library.snd_config_iterator_first(pcms)
    while at != end:
        name = ctypes.c_char_p()
        entry = pointer(library.snd_config_iterator_entry(pointer(at)))
        if library.snd_config_get_id(entry, ctypes.byref(name)) >= 0 and name.value:
            yield name.value.decode(errors="replace")
        at = library.snd_config_iterator_next(pointer(at))
