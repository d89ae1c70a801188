"""The settings to be checked, and which of them the user has given."""

from dataclasses import dataclass

from asd_monitor.config import Config
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.wav import WavSettings


@dataclass(frozen=True, slots=True)
class Context:
    """Settings to be checked, with their origin."""

    config: Config
    uses_default_microphone: bool = False
    """No microphone is named, so the system's default one is checked."""
    connects_to_notify: bool = False
    """Connect to the HTTP servers among the addresses of notifications; nothing is sent."""

    @property
    def microphones(self) -> dict[str, MicrophoneSettings]:
        """The microphones by machine."""
        return {
            name: machine.source
            for name, machine in self.config.machines.items()
            if isinstance(machine.source, MicrophoneSettings)
        }

    @property
    def recordings(self) -> dict[str, WavSettings]:
        """The recordings that are used instead of a microphone, by machine."""
        return {
            name: machine.source
            for name, machine in self.config.machines.items()
            if isinstance(machine.source, WavSettings)
        }
