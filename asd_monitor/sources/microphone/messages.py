"""Messages between the monitor and a capture process.

The monitor passes :class:`CaptureOptions` as JSON on the command line. The capture process
writes messages to a pipe, each a fixed header and a payload: audio (raw float32) or a status
(JSON). In the other direction a second pipe carries commands of a fixed size: where windows end,
and tracks that begin or end while the device is captured. Its end of file means that the monitor
has exited.

A process captures one device for one or more machines. Each has a *track*: a channel at the rate
of its model. Messages carry the number of the track.
"""

import json
import struct
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from asd_monitor.records import FloatArray, SourceState
from asd_monitor.sources.microphone.identity import MicrophoneIdentity

HEADER = struct.Struct("<cHIqqddd")
AUDIO, STATUS = b"A", b"S"
MAX_PAYLOAD_BYTES = 1 << 26
COMMAND = struct.Struct("<cHqq")
WINDOW_ENDS, ADD_TRACK, END_TRACK = b"W", b"T", b"E"
MEAN = -1
"""The channel of a command that means the mean of all."""
HANG_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class AudioEnd:
    """Where the audio delivered so far ends, from which the next stream continues."""

    next_start: int = 0
    """Index that follows the last delivered sample."""
    captured_s: float | None = None
    """Monotonic time of the last sample; None before the first audio."""


@dataclass(frozen=True, slots=True)
class WindowEnds:
    """Where windows end: before sample ``end``, and every hop from there in both directions."""

    end: int
    hop_samples: int

    def after(self, index: int) -> int:
        """Return the first window end beyond ``index``."""
        return index + self.hop_samples - (index - self.end) % self.hop_samples


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """What to capture for one machine, and where its earlier audio ended."""

    channel: int | Literal["mean"]
    model_rate_hz: int
    audio_end: AudioEnd = AudioEnd()
    window_ends: WindowEnds | None = None
    """None while they are not known."""


Command = WindowEnds | TrackOptions | None
"""Where the windows of a track end, a track to be added, or None: the end of a track."""


def encode_command(track: int, command: Command) -> bytes:
    """Return a command for the pipe; a track that is added has no earlier audio."""
    match command:
        case WindowEnds():
            return COMMAND.pack(WINDOW_ENDS, track, command.end, command.hop_samples)
        case TrackOptions():
            channel = MEAN if command.channel == "mean" else command.channel
            return COMMAND.pack(ADD_TRACK, track, channel, command.model_rate_hz)
        case None:
            return COMMAND.pack(END_TRACK, track, 0, 0)


def decode_commands(data: bytes) -> list[tuple[int, Command]]:
    """Return whole commands, each with its track."""
    commands: list[tuple[int, Command]] = []
    for kind, track, first, second in COMMAND.iter_unpack(data):
        if kind == WINDOW_ENDS:
            commands.append((track, WindowEnds(first, second)))
        elif kind == ADD_TRACK:
            commands.append((track, TrackOptions("mean" if first == MEAN else first, second)))
        else:
            commands.append((track, None))
    return commands


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """What to capture: one device, and a track for each machine."""

    device: int | str
    pinned: MicrophoneIdentity | None
    """The device that was found before, which alone is looked for; None the first time."""
    rate_hz: int | None
    latency_s: float
    tracks: tuple[TrackOptions, ...]

    def to_json(self) -> str:
        """Return the options as one command line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "CaptureOptions":
        """Read what :meth:`to_json` wrote."""
        fields = json.loads(text)
        pinned = fields["pinned"]
        return cls(
            **{
                **fields,
                "pinned": None if pinned is None else MicrophoneIdentity(**pinned),
                "tracks": tuple(map(_read_track, fields["tracks"])),
            }
        )


def _read_track(fields: dict[str, Any]) -> TrackOptions:
    ends = fields["window_ends"]
    return TrackOptions(
        fields["channel"],
        fields["model_rate_hz"],
        AudioEnd(**fields["audio_end"]),
        None if ends is None else WindowEnds(**ends),
    )


@dataclass(frozen=True, slots=True)
class CapturedAudio:
    """Mono audio at the model's rate."""

    start: int
    """Index of the first sample."""
    lost_samples: int
    """Samples lost before it, since the audio that was delivered last."""
    captured_at: float
    """When the last sample was captured, in seconds since the epoch."""
    captured_s: float
    """The same on the monotonic clock."""
    delivered_s: float
    """Monotonic time of the callback that brought its newest frame."""
    samples: FloatArray

    @property
    def end(self) -> AudioEnd:
        """Where it ends."""
        return AudioEnd(self.start + len(self.samples), self.captured_s)


@dataclass(frozen=True, slots=True)
class CaptureStatus:
    """State of the device; sent on every change, and as a heartbeat when nothing else is sent."""

    state: SourceState
    reason: str = ""
    device: str = ""
    stable_id: str | None = None
    port: str = ""
    """USB port; empty if it is not a USB device."""
    opens: int = 0
    """How often this process has opened the device."""
    overflows: int = 0
    measured_rate_hz: float | None = None
    timeout_s: float = HANG_TIMEOUT_S
    """The process hangs if it sends nothing for longer than this."""
    rate_hz: int | None = None
    """Rate at which the device is open; None while it is not."""
    channels: int | None = None
    """Channels of the device; None until it was found."""

    @property
    def identity(self) -> MicrophoneIdentity | None:
        """The device; None until it was found."""
        if self.stable_id is None:
            return None
        return MicrophoneIdentity(self.stable_id, self.device, self.port)


def encode_audio(track: int, audio: CapturedAudio) -> tuple[bytes, memoryview]:
    """Return header and payload of an audio message."""
    payload = memoryview(np.ascontiguousarray(audio.samples).data).cast("B")
    header = HEADER.pack(
        AUDIO,
        track,
        payload.nbytes,
        audio.start,
        audio.lost_samples,
        audio.captured_at,
        audio.captured_s,
        audio.delivered_s,
    )
    return header, payload


def encode_status(track: int, status: CaptureStatus) -> tuple[bytes, memoryview]:
    """Return header and payload of a status message."""
    payload = json.dumps(asdict(status)).encode()
    return HEADER.pack(STATUS, track, len(payload), 0, 0, 0.0, 0.0, 0.0), memoryview(payload)


class MessageReader:
    """Decoder of a byte stream that may be split anywhere."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[tuple[int, CapturedAudio | CaptureStatus]]:
        """Append bytes and return the messages that are complete, each with its track.

        Raises
        ------
        ValueError
            If the bytes are no valid messages.
        """
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer)
        messages = []
        offset = 0
        while len(data) - offset >= HEADER.size:
            kind, track, size, *fields = HEADER.unpack_from(data, offset)
            if kind not in (AUDIO, STATUS) or size > MAX_PAYLOAD_BYTES:
                raise ValueError(f"expected an audio or status message, got kind {kind!r}")
            end = offset + HEADER.size + size
            if len(data) < end:
                break
            payload = bytes(data[offset + HEADER.size : end])
            offset = end
            messages.append((track, _decode(kind, fields, payload)))
        self._buffer = bytearray(data[offset:])
        return messages


def _decode(kind: bytes, fields: list[float], payload: bytes) -> CapturedAudio | CaptureStatus:
    if kind == STATUS:
        status = json.loads(payload)
        return CaptureStatus(**{**status, "state": SourceState(status["state"])})
    start, lost_samples, captured_at, captured_s, delivered_s = fields
    samples = np.frombuffer(payload, dtype=np.float32)  # read-only, as bytes are
    return CapturedAudio(
        int(start), int(lost_samples), captured_at, captured_s, delivered_s, samples
    )
