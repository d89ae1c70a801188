"""The sources that a machine's settings can choose from."""

from collections.abc import Callable
from typing import Any

from asd_monitor.sources import AudioSource, SourceSettings
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.microphone.source import build_microphone
from asd_monitor.sources.pacing import PacedWakeups
from asd_monitor.sources.wav import WavSettings, build_recordings

BuildSource = Callable[[str, Any, int, PacedWakeups], AudioSource]
"""Build a source from the machine's name, the source's settings, the rate in Hz to deliver at,
and the wake-ups shared by all sources that have no device to wait for."""

SOURCES: dict[str, tuple[type[SourceSettings], BuildSource]] = {
    "mic": (MicrophoneSettings, build_microphone),
    "wav": (WavSettings, build_recordings),
}
"""Settings class and constructor of each source, by its key in a machine's settings.

It is not in the package's ``__init__``, which the capture process imports."""
