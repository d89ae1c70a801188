"""One machine's part of a capture: its channel of the stream, resampled, and its state."""

import copy
import time
from collections.abc import Sequence

from asd_monitor.errors import SourceError
from asd_monitor.records import SourceState
from asd_monitor.sources import MAX_CHUNK_INTERVAL_S
from asd_monitor.sources.microphone.channel_reader import ChannelReader, channels_to_open
from asd_monitor.sources.microphone.devices import Microphone
from asd_monitor.sources.microphone.messages import CapturedAudio, TrackOptions, WindowEnds
from asd_monitor.sources.microphone.resampler import StreamResampler
from asd_monitor.sources.microphone.sample_clock import SampleClock
from asd_monitor.sources.microphone.stream import CallbackTime, CaptureStream

FROZEN_S = 1.25
SILENT_S = 1.0
RATE_TOLERANCE = 0.005


class Track:
    """The audio of one machine from the streams of a device, one after the other.

    Parameters
    ----------
    options
        Channel, rate, and where earlier audio ended.

    Attributes
    ----------
    state, reason
        As reported to the monitor.
    silent_since_s
        Monotonic time since which the channel is silent; None while it is not.
    has_ended
        Whether nothing is captured for it any more.
    """

    def __init__(self, options: TrackOptions) -> None:
        self.state = SourceState.OPENING
        self.reason = ""
        self.silent_since_s: float | None = None
        self._options = options
        self._audio_end = options.audio_end
        self._reader: ChannelReader | None = None
        self._resampler: StreamResampler | None = None
        self._clock: SampleClock | None = None
        self._stream: CaptureStream | None = None
        self.has_ended = False

    @property
    def model_rate_hz(self) -> int:
        """Sample rate of the model that receives the sound."""
        return self._options.model_rate_hz

    def channels_to_open(self, microphone: Microphone) -> int:
        """Return how many channels it needs; 0, with the reason as its state, if it has none."""
        if self.has_ended:
            return 0
        try:
            return channels_to_open(microphone, self._options.channel)
        except SourceError as error:
            self.fail(str(error))
            return 0

    def start(self, stream: CaptureStream, latency_s: float) -> None:
        """Read from a new stream."""
        resumed = self._audio_end.captured_s is not None
        self._stream = stream
        self._clock = SampleClock(stream.rate_hz, stream.started_s, latency_s, resumed=resumed)
        self._reader = ChannelReader(stream, self._options.channel)
        self._resampler = StreamResampler(
            self._reader, self._clock, self._options.model_rate_hz, self._audio_end
        )

    def join(self, other: "Track", microphone: Microphone, open_channels: int) -> None:
        """Read the stream of another track, from the frame that it reads next.

        Parameters
        ----------
        other
            A track that reads from a stream.
        microphone
            The device of the stream.
        open_channels
            Channels with which it was opened.
        """
        needed = self.channels_to_open(microphone)
        if other._resampler is None or other._clock is None or not needed:
            return
        if needed > open_channels:
            self.fail(
                f"channel {self._options.channel} of microphone {microphone.name!r} is read when "
                "the device is opened the next time"
            )
            return
        self._stream, self._clock = other._stream, copy.deepcopy(other._clock)
        self._reader, self._resampler = other._resampler.join(
            self._options.channel, self._clock, self.model_rate_hz
        )

    def end(self) -> None:
        """Read nothing more, from this stream or a later one."""
        self.stop()
        self.has_ended = True

    def stop(self) -> list[CapturedAudio]:
        """Detach from the stream, and return the audio that is left."""
        audio = self._resampler.flush() if self._resampler else []
        self._keep_end()
        self._reader = self._resampler = self._clock = self._stream = None
        return audio

    def fail(self, reason: str) -> None:
        """Report that there is no audio, and why."""
        self.state, self.reason = SourceState.MISSING, reason

    @property
    def is_active(self) -> bool:
        """Whether it reads from a stream."""
        return self._resampler is not None

    @property
    def is_running_ahead(self) -> bool:
        """Whether the device delivers faster than real time."""
        return self._clock is not None and self._clock.running_ahead

    @property
    def measured_rate_hz(self) -> float | None:
        """Rate of the device against the clock; None before it is known."""
        return self._clock.measured_rate_hz if self._clock else None

    @property
    def rate_hz(self) -> int | None:
        """Rate at which the device is open; None while it is not."""
        return self._stream.rate_hz if self._stream else None

    def read(self, callbacks: Sequence[CallbackTime]) -> list[CapturedAudio]:
        """Return the audio that the stream's new callbacks have brought."""
        if self._resampler is None:
            return []
        audio = self._resampler.read(callbacks)
        self._keep_end()
        return audio

    def _keep_end(self) -> None:
        if self._resampler is not None:
            self._audio_end = self._resampler.audio_end

    def next_needed_frame(self, ends: WindowEnds | None) -> int:
        """Return the frame that completes the next window; 0 if every callback is needed.

        Waking for each callback, some 13 a second, costs more than capturing does.
        """
        resampler, running = self._resampler, self.state is SourceState.RUNNING
        if ends is None or resampler is None or not running or resampler.needs_every_callback:
            return 0
        next_start = self._audio_end.next_start
        latest = next_start + round(MAX_CHUNK_INTERVAL_S * self._options.model_rate_hz)
        return resampler.frames_needed(min(ends.after(next_start), latest))

    def update_state(self, device: str, quiet_s: float) -> None:
        """Set state and reason; ``quiet_s`` is the time since the last callback."""
        resampler, stream = self._resampler, self._stream
        if resampler is None or stream is None:
            return
        name = f"microphone {device!r}"
        constant = resampler.constant_run
        if quiet_s >= FROZEN_S:
            self.state = SourceState.FROZEN
            self.reason = f"{name} is open, but has delivered nothing for over {FROZEN_S} s"
        elif not resampler.has_read:
            pass  # the last state remains until there is audio
        elif constant.length >= SILENT_S * stream.rate_hz:
            others = self._other_channels_with_sound()
            if others or self.state is not SourceState.SILENT:
                self.reason = self._describe_silence(name, constant.value, others)
            self.state = SourceState.SILENT
            self.silent_since_s = self.silent_since_s or time.monotonic()
        elif self.state is not SourceState.SILENT or not constant.length:
            self.state = SourceState.RUNNING
            self.reason = describe_wrong_rate(name, self.measured_rate_hz, stream.rate_hz)
            self.silent_since_s = None

    def _other_channels_with_sound(self) -> list[int]:
        return self._reader.other_channels_with_sound() if self._reader else []

    def _describe_silence(self, name: str, value: float, others: Sequence[int]) -> str:
        """Return that a channel is silent, and what is the likely cause."""
        if others:
            listed = " and ".join(map(str, others))
            verb, example = "has" if len(others) == 1 else "have", others[0]
            return (
                f"{name} delivers digital silence on channel {self._options.channel} (every "
                f"sample is {value:g}), but channel {listed} {verb} sound; set `channel: "
                f"{example}`, or connect the sensor to the other input"
            )
        return (
            f"{name} delivers digital silence (every sample is {value:g}): "
            "is it muted, or did the sound server take another source?"
        )


def describe_wrong_rate(name: str, measured_hz: float | None, rate_hz: int) -> str:
    """Return what is wrong with a device's clock; empty if nothing is known to be."""
    if not measured_hz or abs(measured_hz / rate_hz - 1) < RATE_TOLERANCE:
        return ""
    return (
        f"{name} delivers {measured_hz:.0f} samples per second instead of {rate_hz}: "
        "its clock is wrong, or it loses audio all the time"
    )
