"""The sources, by their keys in a machine's settings.

To add a source, write its settings and its class in a module of this package, and add a line to
:data:`SOURCES`. The machines of the settings file then accept a key of that name.

The registry is not in the package's ``__init__``, because the capture process imports that.
"""

from collections.abc import Callable
from typing import Any

from asd_monitor.sources import AudioSource, SourceSettings
from asd_monitor.sources.context import SourceContext
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.microphone.source import MicrophoneSource
from asd_monitor.sources.wav import WavSettings, WavSource

SOURCES: dict[str, tuple[type[SourceSettings], Callable[[Any, SourceContext], AudioSource]]] = {
    "mic": (MicrophoneSettings, MicrophoneSource.build),
    "wav": (WavSettings, WavSource.build),
}
"""Settings and builder of each source."""
