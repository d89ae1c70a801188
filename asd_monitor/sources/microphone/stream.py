"""One open PortAudio stream: its callback, and the ring that the callback writes to."""

import contextlib
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from asd_monitor.errors import SourceError
from asd_monitor.records import FloatArray
from asd_monitor.sources.microphone.devices import Microphone

if TYPE_CHECKING:
    import sounddevice
    from _typeshed import ReadableBuffer

RING_S = 10.0
MAX_PENDING_CALLBACKS = 4096
OTHER_RATES_HZ = (48000, 44100, 16000, 32000, 96000, 192_000, 8000)


@dataclass(frozen=True, slots=True)
class CallbackTime:
    """Count and time of one callback."""

    frames: int
    """Frames received in all, including this callback's."""
    at_s: float
    """Monotonic time of the callback."""
    overflow: bool


class CaptureStream:
    """An open stream that fills a preallocated ring until :meth:`close`.

    Parameters
    ----------
    portaudio
        The ``sounddevice`` module, freshly initialised.
    microphone
        The device to open.
    channels
        Number of channels to open it with.
    rate_hz
        Sample rate; None for the device's own, or a higher one where that is below the next.
    needed_hz
        Highest sample rate of the models that receive the sound.
    latency_s
        Length of the device's buffer: the longest stall that loses nothing.
    notify_fd
        Eventfd that callbacks write to once ``notify_at_frame`` frames have been received.

    Attributes
    ----------
    ring
        float32 ``(frames, channels)``: frame ``n`` is at index ``n % len(ring)``.
    received_frames
        Frames received in all.
    last_callback_s
        Monotonic time of the last callback; None before the first.

    Raises
    ------
    SourceError
        If the device cannot be opened with these settings.
    """

    def __init__(
        self,
        portaudio: ModuleType,
        microphone: Microphone,
        channels: int,
        rate_hz: int | None,
        needed_hz: int,
        latency_s: float,
        notify_fd: int,
    ) -> None:
        self.microphone = microphone
        self.finished = False
        self.failed = False
        self.received_frames = 0
        self.overflows = 0
        self.notify_at_frame = 0
        self.last_callback_s: float | None = None
        self._notify_fd = notify_fd
        self._callbacks: deque[tuple[int, float, bool]] = deque(maxlen=MAX_PENDING_CALLBACKS)
        rates_hz = [rate_hz] if rate_hz else rates_to_try_hz(microphone.default_rate_hz, needed_hz)
        self._stream = self._open(portaudio, channels, rates_hz, latency_s)
        self.rate_hz: int = round(self._stream.samplerate)
        self.ring: FloatArray = np.zeros((round(RING_S * self.rate_hz), channels), np.float32)
        self._ring_bytes = self.ring.data.cast("B")
        self._frame_bytes = 4 * channels
        self.started_s = time.monotonic()
        try:
            self._stream.start()
        except portaudio.PortAudioError as error:
            self.close()
            raise SourceError(explain(error, microphone)) from error

    def _open(
        self, portaudio: ModuleType, channels: int, rates_hz: Sequence[int], latency_s: float
    ) -> "sounddevice.InputStream":
        for candidate_hz in rates_hz:
            try:
                return portaudio.RawInputStream(
                    device=self.microphone.index,
                    samplerate=candidate_hz,
                    channels=channels,
                    dtype="float32",
                    blocksize=0,
                    latency=latency_s,
                    callback=self._callback,
                    finished_callback=self._finished,
                )
            except portaudio.PortAudioError as error:
                if _code(error) == INVALID_RATE and candidate_hz != rates_hz[-1]:
                    continue
                only_hz = rates_hz[0] if len(rates_hz) == 1 else None
                raise SourceError(explain(error, self.microphone, only_hz)) from error
        raise AssertionError("unreachable: the last rate returns or raises")

    def _callback(
        self,
        block: "ReadableBuffer",
        frames: int,
        _time: object,
        status: "sounddevice.CallbackFlags",
    ) -> None:
        try:
            # Plain bytes and few objects: after a pause each object costs a cache miss or more.
            ring, samples = self._ring_bytes, memoryview(block)
            start = self.received_frames * self._frame_bytes % len(ring)
            first = min(len(samples), len(ring) - start)
            ring[start : start + first] = samples[:first]
            if first < len(samples):
                ring[: len(samples) - first] = samples[first:]
            overflow = bool(status) and status.input_overflow
            self.overflows += overflow
            now_s = self.last_callback_s = time.monotonic()
            self.received_frames += frames
            self._callbacks.append((self.received_frames, now_s, overflow))
            if self.received_frames >= self.notify_at_frame or overflow:
                os.eventfd_write(self._notify_fd, 1)
        except Exception:  # PortAudio would stop calling, without reporting the exception
            self.failed = True

    def _finished(self) -> None:
        self.finished = True
        with contextlib.suppress(OSError):
            os.eventfd_write(self._notify_fd, 1)

    def pop_callbacks(self) -> list[CallbackTime]:
        """Return the callbacks since the last call, in order."""
        return [CallbackTime(*self._callbacks.popleft()) for _ in range(len(self._callbacks))]

    def close(self) -> None:
        """Stop at once and release the device; PortAudio may hang in this call."""
        with contextlib.suppress(Exception):  # the stream is abandoned whatever happens
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)


def rates_to_try_hz(default_hz: int, needed_hz: int) -> list[int]:
    """Return the sample rates at which a device is opened, the preferred one first.

    That is the device's own rate. PortAudio gives 44.1 kHz as the own rate of most sound cards, so
    higher ones come first where a model needs them.
    """
    higher_hz = sorted(rate for rate in (needed_hz, *OTHER_RATES_HZ) if rate >= needed_hz)
    preferred_hz = higher_hz if default_hz < needed_hz else []
    return list(dict.fromkeys((*preferred_hz, default_hz, *OTHER_RATES_HZ)))


INVALID_RATE = -9997
REASONS = {
    -9999: "the sound driver or sound server reports an error",
    -9998: "it does not offer that many channels",
    -9996: "it is no longer available",
    -9993: "it does not answer; it was probably unplugged",
    -9985: "another program uses it",
}


def explain(error: Exception, microphone: Microphone, rate_hz: int | None = None) -> str:
    """Return why PortAudio could not open a microphone, as a sentence for users."""
    name, code = microphone.name, _code(error)
    if code == INVALID_RATE:
        tried = f"{rate_hz} Hz" if rate_hz else "any common rate"
        default = f"its own rate is {microphone.default_rate_hz} Hz"
        return f"microphone {name!r} cannot be opened at {tried}; {default}"
    host = error.args[2] if len(error.args) > 2 else None
    host_text = f" ({host[2]})" if isinstance(host, tuple) and len(host) > 2 and host[2] else ""
    reason = REASONS.get(code, str(error.args[0]) if error.args else "unknown error")
    return f"microphone {name!r} cannot be opened: {reason}{host_text} [PortAudio {code}]"


def _code(error: Exception) -> int:
    return int(error.args[1]) if len(error.args) > 1 else 0
