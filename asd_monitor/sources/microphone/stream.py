"""One open PortAudio stream: the callback, its ring, and what it stamped."""

import contextlib
import os
import time
from collections import deque
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np

from asd_monitor.errors import SourceError
from asd_monitor.records import FloatArray
from asd_monitor.sources.microphone.devices import Microphone

if TYPE_CHECKING:
    import sounddevice
    from _typeshed import ReadableBuffer

RING_S = 10.0
STAMPS = 4096
MOST_CHANNELS = 8
"""Sound servers pretend to have 32 or 64 channels; of those only the first two are real."""
OTHER_RATES_HZ = (48000, 44100, 16000, 32000, 96000, 8000)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What one callback said."""

    frames: int
    """Frames received in all, this callback's included."""
    at_s: float
    """Monotonic time of the callback."""
    overflow: bool


class CaptureStream:
    """Capture into a preallocated ring, from the moment it is made until :meth:`close`.

    Parameters
    ----------
    portaudio
        The ``sounddevice`` module, freshly initialised.
    microphone
        The device to open.
    channel
        Index of the channel, or ``"mean"`` of all.
    rate_hz
        Rate to open it at; None for the device's own.
    latency_s
        Length of the device's buffer, which is the longest stall that loses nothing.
    news
        An eventfd that is raised by every callback once ``wake_at`` frames have come.

    Attributes
    ----------
    received, read
        Frames that have come, and of these those that :meth:`take_frames` has passed.
    last_callback_s
        Monotonic time of the last callback; None before the first.

    Raises
    ------
    SourceError
        If it cannot be opened so.
    """

    def __init__(
        self,
        portaudio: ModuleType,
        microphone: Microphone,
        channel: int | Literal["mean"],
        rate_hz: int | None,
        latency_s: float,
        news: int,
    ) -> None:
        self.microphone = microphone
        self.finished = False
        self.failed = False
        self.received = 0
        self.overflows = 0
        self.read = 0
        self.wake_at = 0
        self.last_callback_s: float | None = None
        self._channel = channel
        self._news = news
        self._stamps: deque[tuple[int, float, bool]] = deque(maxlen=STAMPS)
        channels = self._channels_to_open()
        self._stream = self._open(portaudio, channels, rate_hz, latency_s)
        self.rate_hz: int = round(self._stream.samplerate)
        self._ring = np.zeros((round(RING_S * self.rate_hz), channels), np.float32)
        self._ring_bytes = self._ring.data.cast("B")
        self._frame_bytes = 4 * channels
        self.started_s = time.monotonic()
        try:
            self._stream.start()
        except portaudio.PortAudioError as error:
            self.close()
            raise SourceError(explain(error, microphone)) from error

    def _channels_to_open(self) -> int:
        there = self.microphone.channels
        if self._channel == "mean":
            return there if there <= MOST_CHANNELS else 2
        if self._channel >= there:
            name = self.microphone.name
            msg = f"microphone {name!r} has no channel {self._channel} (from 0): it has {there}"
            raise SourceError(msg)
        return min(there, max(2, self._channel + 1))

    def _open(
        self, portaudio: ModuleType, channels: int, rate_hz: int | None, latency_s: float
    ) -> "sounddevice.InputStream":
        own_hz = self.microphone.default_rate_hz
        rates_hz = [rate_hz] if rate_hz else list(dict.fromkeys((own_hz, *OTHER_RATES_HZ)))
        for at_hz in rates_hz:
            try:
                return portaudio.RawInputStream(
                    device=self.microphone.index,
                    samplerate=at_hz,
                    channels=channels,
                    dtype="float32",
                    blocksize=0,
                    latency=latency_s,
                    callback=self._callback,
                    finished_callback=self._finished,
                )
            except portaudio.PortAudioError as error:
                if _code(error) == INVALID_RATE and at_hz != rates_hz[-1]:
                    continue
                raise SourceError(explain(error, self.microphone, rate_hz)) from error
        raise AssertionError("unreachable: the last rate returns or raises")

    def _callback(
        self,
        block: "ReadableBuffer",
        frames: int,
        _time: object,
        status: "sounddevice.CallbackFlags",
    ) -> None:
        try:
            # Plain bytes and few objects: after a pause each of them costs a cache miss or more.
            ring, samples = self._ring_bytes, memoryview(block)
            at = self.received * self._frame_bytes % len(ring)
            first = min(len(samples), len(ring) - at)
            ring[at : at + first] = samples[:first]
            if first < len(samples):
                ring[: len(samples) - first] = samples[first:]
            overflow = bool(status) and status.input_overflow
            self.overflows += overflow
            now_s = self.last_callback_s = time.monotonic()
            self.received += frames
            self._stamps.append((self.received, now_s, overflow))
            if self.received >= self.wake_at or overflow:
                os.eventfd_write(self._news, 1)
        except Exception:  # an exception would end the callbacks for ever, and tell nobody
            self.failed = True

    def _finished(self) -> None:
        self.finished = True
        with contextlib.suppress(OSError):
            os.eventfd_write(self._news, 1)

    def take_stamps(self) -> list[Stamp]:
        """Return what the callbacks since the last call said."""
        return [Stamp(*self._stamps.popleft()) for _ in range(len(self._stamps))]

    def take_frames(self, until: int) -> tuple[FloatArray, int]:
        """Return the chosen channel up to frame ``until``, and how many were overwritten unread.

        Returns
        -------
        samples, skipped
            float32 ``(n,)``, the frames that end at ``until``, perhaps the ring's own, so to be
            used at once; ``skipped`` frames before them
            were lost because nobody took them within the ring's ten seconds.
        """
        size = len(self._ring)
        skipped = max(0, self.received - size - self.read)
        first = min(self.read + skipped, until)
        skipped = first - self.read
        at, end = first % size, first % size + until - first
        taken = self._pick(self._ring[at : min(end, size)])
        if end > size:
            taken = np.concatenate([taken, self._pick(self._ring[: end - size])])
        self.read = until
        return np.ascontiguousarray(taken), skipped

    def _pick(self, frames: FloatArray) -> FloatArray:
        if self._channel == "mean":
            mean: FloatArray = frames.mean(axis=1, dtype=np.float32)
            return mean
        return frames[:, self._channel]

    def close(self) -> None:
        """Stop at once and free the device; PortAudio may hang in here."""
        with contextlib.suppress(Exception):  # it is being given up: nothing more can be done
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)


INVALID_RATE = -9997
PLAIN = {
    -9999: "the sound driver or sound server reports an error",
    -9998: "it does not offer that many channels",
    -9996: "it is not there any more",
    -9993: "it does not answer; it was probably unplugged",
    -9985: "another program uses it",
}


def explain(error: Exception, microphone: Microphone, rate_hz: int | None = None) -> str:
    """Say in plain words why PortAudio could not open a microphone."""
    name, code = microphone.name, _code(error)
    if code == INVALID_RATE:
        tried = f"{rate_hz} Hz" if rate_hz else "any common rate"
        own = f"its own rate is {microphone.default_rate_hz} Hz"
        return f"microphone {name!r} cannot be opened at {tried}; {own}"
    host = error.args[2] if len(error.args) > 2 else None
    host_text = f" ({host[2]})" if isinstance(host, tuple) and len(host) > 2 and host[2] else ""
    plain = PLAIN.get(code, str(error.args[0]) if error.args else "unknown error")
    return f"microphone {name!r} cannot be opened: {plain}{host_text} [PortAudio {code}]"


def _code(error: Exception) -> int:
    return int(error.args[1]) if len(error.args) > 1 else 0
