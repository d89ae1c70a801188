"""The monitor's side of a track: audio that was received, health, and where windows end."""

from collections.abc import Callable
from typing import Literal

from asd_monitor.records import SourceHealth
from asd_monitor.sources.microphone.chunk_queue import ChunkQueue
from asd_monitor.sources.microphone.health import HealthTracker
from asd_monitor.sources.microphone.messages import (
    CapturedAudio,
    CaptureStatus,
    TrackOptions,
    WindowEnds,
)


class TrackReceiver:
    """What one machine receives from the capture processes of its device.

    Parameters
    ----------
    machine
        Name of the machine.
    channel
        Channel of the device, or ``"mean"`` of all.
    sample_rate_hz
        Sample rate of the audio.
    health
        Health of the machine's source.
    on_audio
        Called with all captured audio.

    Attributes
    ----------
    queue
        Audio that has not been read yet.
    wake
        Called after new audio, and after each change of the health.
    window_ends
        Where windows end; None while it is not known.
    is_closed
        True once nothing more is to be received.
    """

    def __init__(
        self,
        machine: str,
        channel: int | Literal["mean"],
        sample_rate_hz: int,
        health: HealthTracker,
        on_audio: Callable[[CapturedAudio], None],
    ) -> None:
        self.machine = machine
        self.queue = ChunkQueue(sample_rate_hz)
        self.health_tracker = health
        self.wake: Callable[[], None] = lambda: None
        self.window_ends: WindowEnds | None = None
        self.is_closed = False
        self._channel = channel
        self._sample_rate_hz = sample_rate_hz
        self._on_audio = on_audio

    def options(self) -> TrackOptions:
        """Return what the next capture process is to capture for this machine."""
        return TrackOptions(
            self._channel, self._sample_rate_hz, self.queue.counts.audio_end, self.window_ends
        )

    def receive(self, message: CapturedAudio | CaptureStatus) -> None:
        """Process a message of the capture process; none is processed after the end."""
        if self.is_closed:
            return
        if isinstance(message, CapturedAudio):
            self._on_audio(message)
            self.queue.put(message)
        else:
            self.health_tracker.update(message)

    def health(self) -> SourceHealth:
        """Return the health; audio that is being lost is counted as time passes."""
        return self.health_tracker.health(self.queue.counts, estimate_loss=not self.is_closed)

    def close(self) -> None:
        """Receive nothing more; what was received can still be read."""
        if not self.is_closed:
            self.is_closed = True
            self.health_tracker.mark_closed()
