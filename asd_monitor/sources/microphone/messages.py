"""What the capture process and the monitor say to each other.

The monitor gives :class:`CaptureOptions` as JSON on the command line. The capture process
answers on a pipe with frames of a fixed header and a payload: audio (raw float32) or a status
(JSON). The other direction carries nothing but where windows end (:class:`WindowEnds`); its own
end tells that the monitor is gone.
"""

import json
import struct
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from asd_monitor.records import FloatArray, SourceState

HEADER = struct.Struct("<cIqddd")
AUDIO, STATUS = b"A", b"S"
MAX_PAYLOAD_BYTES = 1 << 26
ENDS = struct.Struct("<qq")
HANG_S = 3.0


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """What to capture, and where the clock stood."""

    device: int | str
    pinned_id: str | None
    channel: int | Literal["mean"]
    rate_hz: int | None
    latency_s: float
    model_rate_hz: int
    next_start: int = 0
    """Index that follows the last sample delivered by an earlier process."""
    captured_s: float | None = None
    """Monotonic time of that last sample; None where there was none."""
    window_ends: tuple[int, int] | None = None
    """Fields of :class:`WindowEnds`, where they are known already."""

    def to_json(self) -> str:
        """Return the options as one command line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "CaptureOptions":
        """Read what :meth:`to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class WindowEnds:
    """Where audio is wanted: before sample ``end``, and every hop from there, both ways."""

    end: int
    hop_samples: int

    def encode(self) -> bytes:
        """Return it as bytes for the pipe."""
        return ENDS.pack(self.end, self.hop_samples)

    @classmethod
    def newest(cls, data: bytes) -> "WindowEnds":
        """Read the last of what :meth:`encode` made."""
        return cls(*ENDS.unpack_from(data, len(data) - ENDS.size))

    def after(self, index: int) -> int:
        """Return the first such place beyond ``index``."""
        return index + self.hop_samples - (index - self.end) % self.hop_samples


@dataclass(frozen=True, slots=True)
class CapturedAudio:
    """Resampled mono audio."""

    start: int
    captured_at: float
    """Of the last sample, in seconds since the epoch."""
    captured_s: float
    """The same on the monotonic clock."""
    delivered_s: float
    """Monotonic time of the callback that brought the newest frame of it."""
    samples: FloatArray


@dataclass(frozen=True, slots=True)
class CaptureStatus:
    """How the device is doing; sent on every change, and when nothing else is sent."""

    state: SourceState
    reason: str = ""
    device: str = ""
    stable_id: str | None = None
    opens: int = 0
    """How often the device was opened by this process."""
    overflows: int = 0
    measured_rate_hz: float | None = None
    quiet_for_s: float = HANG_S
    """If nothing more is heard for so long, the process hangs."""


def encode_audio(audio: CapturedAudio) -> tuple[bytes, memoryview]:
    """Return header and payload."""
    payload = memoryview(np.ascontiguousarray(audio.samples).data).cast("B")
    header = HEADER.pack(
        AUDIO,
        payload.nbytes,
        audio.start,
        audio.captured_at,
        audio.captured_s,
        audio.delivered_s,
    )
    return header, payload


def encode_status(status: CaptureStatus) -> tuple[bytes, memoryview]:
    """Return header and payload."""
    payload = json.dumps(asdict(status)).encode()
    return HEADER.pack(STATUS, len(payload), 0, 0.0, 0.0, 0.0), memoryview(payload)


class MessageReader:
    """Cut a stream of bytes, however it was chopped, into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[CapturedAudio | CaptureStatus]:
        """Take bytes and return the messages that are complete.

        Raises
        ------
        ValueError
            If the bytes are not such messages.
        """
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer)
        messages = []
        at = 0
        while len(data) - at >= HEADER.size:
            kind, size, *numbers = HEADER.unpack_from(data, at)
            if kind not in (AUDIO, STATUS) or size > MAX_PAYLOAD_BYTES:
                raise ValueError(f"not a message of the capture process: kind {kind!r}")
            end = at + HEADER.size + size
            if len(data) < end:
                break
            payload = bytes(data[at + HEADER.size : end])
            at = end
            messages.append(_decode(kind, numbers, payload))
        self._buffer = bytearray(data[at:])
        return messages


def _decode(kind: bytes, numbers: list[float], payload: bytes) -> CapturedAudio | CaptureStatus:
    if kind == STATUS:
        fields = json.loads(payload)
        return CaptureStatus(**{**fields, "state": SourceState(fields["state"])})
    start, captured_at, captured_s, delivered_s = numbers
    samples = np.frombuffer(payload, dtype=np.float32)  # read-only, as bytes are
    return CapturedAudio(int(start), captured_at, captured_s, delivered_s, samples)
