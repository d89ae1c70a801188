"""Audio from a sound card or a sound server, captured in a separate process."""

from collections.abc import Callable
from typing import Self

from asd_monitor.records import AudioChunk, SourceHealth
from asd_monitor.sources.context import SourceContext
from asd_monitor.sources.microphone.device_capture import DeviceCapture
from asd_monitor.sources.microphone.health import HealthTracker
from asd_monitor.sources.microphone.identity import MicrophoneIdentity
from asd_monitor.sources.microphone.messages import CapturedAudio, WindowEnds
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.microphone.track_receiver import TrackReceiver

MAX_HELD_S = 2.0
"""Audio of this age, in addition to what the device's buffer holds, may still be in the process."""


class MicrophoneSource:
    """The sound of a microphone; implements :class:`~asd_monitor.sources.AudioSource`.

    The sample index starts with the first audio. From then on every sample is either delivered
    or counted as lost, including while the device is away.

    Parameters
    ----------
    machine
        Name of the machine.
    settings
        Which device, and how to open it.
    sample_rate_hz
        Sample rate of the delivered audio: the model's.
    on_audio
        Called with all captured audio, from the device's thread; for measurements.
    capture
        Capture of the device, which other machines may share; None for one without others.
    note, missing_hint
        What the health says while the microphone runs, and in addition while it is missing.
    """

    def __init__(
        self,
        machine: str,
        settings: MicrophoneSettings,
        sample_rate_hz: int,
        on_audio: Callable[[CapturedAudio], None] = lambda _: None,
        *,
        capture: DeviceCapture | None = None,
        note: str = "",
        missing_hint: str = "",
    ) -> None:
        self.machine = machine
        health = HealthTracker(
            machine,
            str(settings.device),
            sample_rate_hz,
            max_delay_s=settings.latency_s + MAX_HELD_S,
            on_change=lambda: self._receiver.wake(),
            note=note,
            missing_hint=missing_hint,
        )
        self._receiver = TrackReceiver(machine, settings.channel, sample_rate_hz, health, on_audio)
        self._capture = capture or DeviceCapture(settings)
        self._capture.add(self._receiver)
        self.channel = settings.channel

    @classmethod
    def build(cls, settings: MicrophoneSettings, context: SourceContext) -> Self:
        """Build the source of a monitor's machine."""
        return cls(
            context.machine,
            settings,
            context.sample_rate_hz,
            capture=context.captures.of(settings),
            note=context.note,
            missing_hint=context.missing_hint,
        )

    @property
    def identity(self) -> MicrophoneIdentity | None:
        """The device that delivers the sound; None until it was found."""
        return self._receiver.health_tracker.identity

    @property
    def device_channels(self) -> int | None:
        """Number of channels of the device; None until it was found."""
        return self._receiver.health_tracker.channels

    def open(self, wake: Callable[[], None]) -> None:
        """Start capturing; ``wake`` is called from the device's thread."""
        self._receiver.wake = wake
        self._capture.open()

    def expect_windows(self, end: int, hop_samples: int) -> None:
        """Let the capture process send audio when it completes a window."""
        self._capture.send_window_ends(self._receiver, WindowEnds(end, hop_samples))

    def read(self) -> list[AudioChunk]:
        """Return the audio that arrived since the last call."""
        return self._receiver.queue.take_all()

    def health(self) -> SourceHealth:
        """Return the current health; audio that is being lost is counted as time passes."""
        return self._receiver.health()

    def close(self) -> None:
        """Stop capturing; audio that arrived before can still be read."""
        if not self._receiver.is_closed:
            self._receiver.close()
            self._capture.close(self._receiver)
