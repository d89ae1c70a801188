"""What the doctor is asked about: the settings, and which of them a person gave."""

from dataclasses import dataclass

from asd_monitor.config import Config
from asd_monitor.sources.microphone.source import MicrophoneSettings
from asd_monitor.sources.wav import WavSettings


@dataclass(frozen=True, slots=True)
class Case:
    """The settings to be checked."""

    config: Config
    default_microphone: bool = False
    """No microphone was named: the system's default one is tried."""
    broker_given: bool = True
    """False: nobody named a broker, so that its absence is no failure."""

    @property
    def microphones(self) -> dict[str, MicrophoneSettings]:
        """The microphones by machine."""
        machines = self.config.machines.items()
        return {
            name: each.source
            for name, each in machines
            if isinstance(each.source, MicrophoneSettings)
        }

    @property
    def recordings(self) -> dict[str, WavSettings]:
        """The recordings that take a microphone's place, by machine."""
        machines = self.config.machines.items()
        return {
            name: each.source for name, each in machines if isinstance(each.source, WavSettings)
        }
