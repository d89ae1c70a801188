"""The unread frames of one channel of an open stream; several readers share the stream's ring."""

from typing import Literal

import numpy as np

from asd_monitor.audio.quality import MIN_LEVEL_DBFS
from asd_monitor.errors import SourceError
from asd_monitor.records import FloatArray
from asd_monitor.sources.microphone.devices import Microphone
from asd_monitor.sources.microphone.stream import CaptureStream

MAX_MEAN_CHANNELS = 8
"""Sound servers offer 32 or 64 channels, of which only the first two are real."""
RECENT_S = 0.5


def channels_to_open(microphone: Microphone, channel: int | Literal["mean"]) -> int:
    """Return with how many channels a microphone must be opened to read a channel.

    Raises
    ------
    SourceError
        If it has no such channel.
    """
    available = microphone.channels
    if channel == "mean":
        return available if available <= MAX_MEAN_CHANNELS else 2
    if channel >= available:
        name = microphone.name
        msg = f"microphone {name!r} has no channel {channel} (from 0): it has {available}"
        raise SourceError(msg)
    # All, so that those with sound can be named when this one is silent.
    return available if available <= MAX_MEAN_CHANNELS else max(2, channel + 1)


class ChannelReader:
    """A reader of one channel, or of the mean of all channels, of a stream.

    Parameters
    ----------
    stream
        The open stream.
    channel
        Index of the channel, or ``"mean"``.

    Attributes
    ----------
    read_frames
        Frames that :meth:`read_until` has passed.
    """

    def __init__(self, stream: CaptureStream, channel: int | Literal["mean"]) -> None:
        self.stream = stream
        self.read_frames = 0
        self._channel = channel
        self._mean_channels = channels_to_open(stream.microphone, "mean")

    def read_until(self, frame: int) -> tuple[FloatArray, int]:
        """Return the channel up to a frame.

        Returns
        -------
        samples, skipped
            float32 ``(n,)``, the unread frames before ``frame``; perhaps a view of the ring, so
            use them at once. ``skipped`` frames before them were overwritten unread: they were
            not read within the ring's ten seconds.
        """
        ring = self.stream.ring
        size = len(ring)
        skipped = max(0, self.stream.received_frames - size - self.read_frames)
        first = min(self.read_frames + skipped, frame)
        skipped = first - self.read_frames
        start, end = first % size, first % size + frame - first
        samples = self._select(ring[start : min(end, size)])
        if end > size:
            samples = np.concatenate([samples, self._select(ring[: end - size])])
        self.read_frames = frame
        return np.ascontiguousarray(samples), skipped

    def other_channels_with_sound(self) -> list[int]:
        """Return the other open channels whose newest samples exceed the noise of an input."""
        ring, received = self.stream.ring, self.stream.received_frames
        count = min(received, len(ring), round(RECENT_S * self.stream.rate_hz))
        recent = ring[np.arange(received - count, received) % len(ring)]
        if not count or self._channel == "mean":
            return []
        loud = np.flatnonzero(recent.std(axis=0) > 10 ** (MIN_LEVEL_DBFS / 20))
        return [int(channel) for channel in loud if channel != self._channel]

    def _select(self, frames: FloatArray) -> FloatArray:
        if self._channel == "mean":
            mean: FloatArray = frames[:, : self._mean_channels].mean(axis=1, dtype=np.float32)
            return mean
        return frames[:, self._channel]
