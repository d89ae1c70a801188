"""Audio from a sound card or a sound server, through a capture process of its own."""

import logging
import os
import select
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from asd_monitor.records import AudioChunk, SourceHealth, SourceState
from asd_monitor.sources.microphone.child_process import (
    STOP_S,
    end_capture,
    how_it_ended,
    start_capture,
    tell_window_ends,
)
from asd_monitor.sources.microphone.devices import (
    Microphone,
    UnknownDeviceError,
    resolve_device,
)
from asd_monitor.sources.microphone.messages import (
    CapturedAudio,
    CaptureOptions,
    CaptureStatus,
    MessageReader,
    WindowEnds,
)
from asd_monitor.sources.pacing import PacedWakeups

QUEUE_S = 10.0
UNHEARD_S = 2.0
RESTART_S = 2.0
READ_BYTES = 1 << 18

log = logging.getLogger(__name__)


class MicrophoneSettings(BaseModel):
    """A microphone: its index, its name or part of it, its stable id, or a section of keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    device: int | str
    """Index, name, unique part of a name, or stable id, as `asd-monitor devices` lists them."""
    channel: Annotated[int, Field(ge=0)] | Literal["mean"] = 0
    """Counted from 0, or "mean" of all channels."""
    rate_hz: int | None = Field(default=None, ge=4000, le=768000)
    """Rate to open the device at; the device's own where left out."""
    latency_s: float = Field(default=2.0, ge=0.05, le=2.0)
    """Length of the device's buffer: shorter stalls of the computer lose no audio. Audio arrives
    about four times per buffer, so a long buffer costs less CPU and a short one less delay."""

    @model_validator(mode="before")
    @classmethod
    def _device_alone(cls, value: object) -> object:
        return {"device": value} if isinstance(value, int | str) else value

    @field_validator("device")
    @classmethod
    def _number_is_index(cls, device: int | str) -> int | str:
        return int(device) if isinstance(device, str) and device.strip().isdigit() else device

    @property
    def is_live(self) -> bool:
        """Always true: a microphone delivers at the pace of real time."""
        return True

    @property
    def description(self) -> str:
        """The device as the settings name it."""
        return f"microphone {self.device}"


def pin_devices(
    settings: Sequence[MicrophoneSettings], microphones: Sequence[Microphone]
) -> list[MicrophoneSettings]:
    """Replace indices by stable ids, before anything is opened and indices change.

    A name that no microphone has now stays as it is: it may be plugged in later.

    Raises
    ------
    SourceError
        If an index is not there, or a part of a name fits several microphones.
    """
    pinned = []
    for each in settings:
        try:
            stable_id = resolve_device(each.device, microphones).stable_id
        except UnknownDeviceError:
            if isinstance(each.device, int):
                raise
            pinned.append(each)
        else:
            by_index = isinstance(each.device, int)
            pinned.append(each.model_copy(update={"device": stable_id}) if by_index else each)
    return pinned


class MicrophoneSource:
    """Deliver a microphone's sound; meets :class:`~asd_monitor.sources.AudioSource`.

    The clock starts with the first audio. From then on every sample is either delivered or
    counted as lost, also while the device is away.

    Parameters
    ----------
    machine
        Name of the machine that it listens to.
    settings
        Which device, and how to open it.
    sample_rate_hz
        Rate to deliver at: the model's.
    """

    def __init__(self, machine: str, settings: MicrophoneSettings, sample_rate_hz: int) -> None:
        self.machine = machine
        self._settings = settings
        self._sample_rate_hz = sample_rate_hz
        self._lock = threading.Lock()
        self._chunks: deque[AudioChunk] = deque()
        self._queued = 0
        self._delivered = 0
        self._lost = 0
        self._told_lost = 0
        self._next_start = 0
        self._captured_s: float | None = None
        self._window_ends: WindowEnds | None = None
        self._last_audio_at: float | None = None
        self._pinned_id: str | None = None
        self._status = CaptureStatus(SourceState.OPENING, device=str(settings.device))
        self._opens = 0
        self._overflows = 0
        self._heard_s = 0.0
        self._closing = False
        self._stop = -1
        self._wake: Callable[[], None] = _nothing
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def open(self, wake: Callable[[], None]) -> None:
        """Start capturing; ``wake`` is called from the source's own thread."""
        self._wake = wake
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(
            target=self._run, name=f"microphone {self.machine}", daemon=True
        )
        self._thread.start()

    def expect_windows(self, end: int, hop_samples: int) -> None:
        """Let the capture process send audio when it completes a window."""
        with self._lock:
            self._window_ends = WindowEnds(end, hop_samples)
            if self._process is not None:
                tell_window_ends(self._process, self._window_ends)

    def read(self) -> list[AudioChunk]:
        """Return what arrived since the last call."""
        with self._lock:
            chunks = list(self._chunks)
            self._chunks.clear()
            self._queued = 0
            self._delivered += sum(len(chunk.samples) for chunk in chunks)
        return chunks

    def health(self) -> SourceHealth:
        """Return the present health; audio that is being lost is counted as it goes by."""
        with self._lock:
            status = self._status
            lost = self._lost
            if status.state not in (SourceState.RUNNING, SourceState.SILENT) and self._captured_s:
                # what can still come is what the device and the process hold
                away_s = time.monotonic() - self._captured_s - self._settings.latency_s - 2.0
                lost += max(0, int(away_s * self._sample_rate_hz)) if not self._closing else 0
            self._told_lost = max(self._told_lost, lost)
            return SourceHealth(
                machine=self.machine,
                state=status.state,
                reason=status.reason,
                device=status.device,
                samples=self._delivered,
                lost_samples=self._told_lost,
                overflows=self._overflows + status.overflows,
                reopens=max(0, self._opens + status.opens - 1),
                last_audio_at=self._last_audio_at,
                measured_rate_hz=status.measured_rate_hz,
            )

    def close(self) -> None:
        """Stop capturing; what arrived before can still be read."""
        self._closing = True
        if self._thread is None:
            self._show(replace(self._status, state=SourceState.CLOSED, reason=""))
            return
        with self._lock:
            if self._stop >= 0:
                os.eventfd_write(self._stop, 1)
        self._thread.join(timeout=5 * STOP_S)

    def _run(self) -> None:
        while not self._closing:
            started_s = time.monotonic()
            reason = self._capture()
            if self._closing:
                break
            log.warning("%s: %s; starting it again", self.machine, reason)
            self._set_aside(reason)
            if time.monotonic() - started_s < RESTART_S:
                self._wait_for_stop(RESTART_S)
        self._show(replace(self._status, state=SourceState.CLOSED, reason=""))
        with self._lock:
            os.close(self._stop)
            self._stop = -1

    def _capture(self) -> str:
        """Run one capture process to its end, and say why it ended."""
        try:
            process = self._start()
        except OSError as error:
            return f"the capture process cannot be started: {error}"
        try:
            return self._listen(process)
        except Exception as error:  # the thread's top: a source never gives up
            log.exception("%s: unexpected error", self.machine)
            return f"unexpected error: {error!r}"
        finally:
            with self._lock:
                self._process = None
            end_capture(process)

    def _start(self) -> subprocess.Popen[bytes]:
        ends = self._window_ends
        options = CaptureOptions(
            device=self._settings.device,
            pinned_id=self._pinned_id,
            channel=self._settings.channel,
            rate_hz=self._settings.rate_hz,
            latency_s=self._settings.latency_s,
            model_rate_hz=self._sample_rate_hz,
            next_start=self._next_start,
            captured_s=self._captured_s,
            window_ends=None if ends is None else (ends.end, ends.hop_samples),
        )
        process = start_capture(options)
        with self._lock:
            self._process = process
            if self._window_ends is not ends and self._window_ends is not None:
                tell_window_ends(process, self._window_ends)
        return process

    def _listen(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None  # noqa: S101  # for the type checker
        pipe, messages = process.stdout.fileno(), MessageReader()
        incoming = memoryview(bytearray(READ_BYTES))
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        self._heard_s = time.monotonic()
        while not self._closing:
            ready = [file for file, _ in poll.poll(1000 * self._timeout_s())]
            if pipe in ready:
                size = os.readv(pipe, [incoming])
                if not size:
                    return how_it_ended(process)
                self._heard_s = time.monotonic()
                try:
                    self._accept(messages.feed(incoming[:size]))
                except ValueError as error:
                    return f"the capture process talks nonsense: {error}"
            elif time.monotonic() - self._heard_s > self._status.quiet_for_s:
                return "the capture process hangs, probably in the sound driver"
            elif time.monotonic() - self._heard_s > UNHEARD_S:
                self._show_unheard()
        return "closed"

    def _timeout_s(self) -> float:
        """Return how long nothing may be heard until something has to be done."""
        unheard_s = time.monotonic() - self._heard_s
        limits_s = (UNHEARD_S, self._status.quiet_for_s)
        return min((each - unheard_s for each in limits_s if each > unheard_s), default=0) + 0.005

    def _accept(self, messages: list[CapturedAudio | CaptureStatus]) -> None:
        for message in messages:
            if isinstance(message, CapturedAudio):
                self._queue(message)
            else:
                self._show(message)
        self._wake()

    def _queue(self, audio: CapturedAudio) -> None:
        chunk = AudioChunk(audio.samples, audio.start, audio.captured_at)
        with self._lock:
            self._lost += audio.start - self._next_start
            self._next_start = audio.start + len(audio.samples)
            self._captured_s, self._last_audio_at = audio.captured_s, audio.captured_at
            self._chunks.append(chunk)
            self._queued += len(audio.samples)
            while self._queued > QUEUE_S * self._sample_rate_hz and len(self._chunks) > 1:
                dropped = len(self._chunks.popleft().samples)
                self._queued -= dropped
                self._lost += dropped

    def _show(self, status: CaptureStatus) -> None:
        if status.state is SourceState.OPENING:  # a new process: what was said holds until it hears
            status = replace(status, state=self._status.state, reason=self._status.reason)
        changed = (status.state, status.reason) != (self._status.state, self._status.reason)
        with self._lock:
            self._status = status
            self._pinned_id = status.stable_id or self._pinned_id
        if changed:
            log.debug("%s: %s %s", self.machine, status.state, status.reason)
            self._wake()

    def _show_unheard(self) -> None:
        """Say that nothing is heard, unless it is known why."""
        if self._status.state in (SourceState.RUNNING, SourceState.SILENT):
            reason = "the capture process does not answer"
            self._show(replace(self._status, state=SourceState.FROZEN, reason=reason))

    def _set_aside(self, reason: str) -> None:
        """Add an ended process's counts to the totals, and say why it ended."""
        with self._lock:
            status = self._status
            self._opens += status.opens
            self._overflows += status.overflows
            self._status = replace(status, opens=0, overflows=0)
        told = status.reason if status.state is SourceState.MISSING else ""
        self._show(replace(self._status, state=SourceState.MISSING, reason=told or reason))

    def _wait_for_stop(self, timeout_s: float) -> None:
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        poll.poll(timeout_s * 1000)


def build_microphone(
    machine: str, settings: MicrophoneSettings, sample_rate_hz: int, _wakeups: PacedWakeups
) -> MicrophoneSource:
    """Build a machine's source; a microphone's capture process wakes its reader."""
    return MicrophoneSource(machine, settings, sample_rate_hz)


def _nothing() -> None:
    pass
