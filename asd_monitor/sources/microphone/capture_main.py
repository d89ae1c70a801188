"""The process that captures one microphone; ``MicrophoneSource`` starts it, never a user.

Capture has its own process for three reasons:

- PortAudio finds new devices only when it is initialised again, which ends all streams of the
  process.
- A driver that hangs can only be killed together with its process.
- A Python callback needs the interpreter lock, which the monitor may hold for a long time.

The process imports neither torch nor the rest of the monitor.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from types import ModuleType

from asd_monitor.errors import SourceError
from asd_monitor.records import SourceState
from asd_monitor.sources import MAX_CHUNK_INTERVAL_S
from asd_monitor.sources.microphone.devices import query_microphones
from asd_monitor.sources.microphone.messages import (
    HANG_TIMEOUT_S,
    CapturedAudio,
    CaptureOptions,
    CaptureStatus,
)
from asd_monitor.sources.microphone.pipe import HEARTBEAT_INTERVAL_S, ParentExitedError, Pipe
from asd_monitor.sources.microphone.resampler import StreamResampler
from asd_monitor.sources.microphone.sample_clock import SampleClock
from asd_monitor.sources.microphone.selection import resolve_device
from asd_monitor.sources.microphone.stream import CaptureStream

RETRY_INTERVAL_S = 2.0
FROZEN_S = 1.25
REOPEN_FROZEN_S = 2.5
SILENT_S = 1.0
REOPEN_SILENT_S = (10.0, 30.0)
"""When its source disappears, a sound server moves a stream to another one without notice, often
a silent one. Opening the stream again moves it back: after 10 s of silence, then every 30 s."""
IDLE_TIMEOUT_S = 1.2
"""Longest wait while callbacks need not wake the process; then their times are checked."""
POLL_INTERVAL_S = HEARTBEAT_INTERVAL_S / 2
RATE_TOLERANCE = 0.005
OPENING_TIMEOUT_S = 15.0
PR_SET_PDEATHSIG = 1


class Capture:
    """Capture of one microphone, which is kept open whatever happens to the device.

    Parameters
    ----------
    options
        What to capture.
    portaudio
        The ``sounddevice`` module.
    pipe
        Receives audio and status.
    notify_fd
        Eventfd that wakes the pipe.
    """

    def __init__(
        self, options: CaptureOptions, portaudio: ModuleType, pipe: Pipe, notify_fd: int
    ) -> None:
        self._options = options
        self._portaudio = portaudio
        self._pipe = pipe
        self._notify_fd = notify_fd
        self._state = SourceState.OPENING
        self._reason = ""
        self._device = str(options.device)
        self._pinned_id = options.pinned_id
        self._port = ""
        self._opens = 0
        self._overflows = 0
        self._audio_end = options.audio_end
        self._silent_since_s: float | None = None
        self._silent_reopens = 0

    def run(self) -> None:
        """Open the device, read it, and open it again after a failure, until the monitor exits."""
        fresh = True  # importing sounddevice has initialised PortAudio
        while True:
            self._send_status(timeout_s=OPENING_TIMEOUT_S)
            try:
                if not fresh:
                    with contextlib.suppress(self._portaudio.PortAudioError):
                        self._portaudio._terminate()  # fails if initialising failed before
                    self._portaudio._initialize()
                fresh = False
                stream = self._open()
            except (SourceError, self._portaudio.PortAudioError) as error:
                self._state, self._reason = SourceState.MISSING, str(error)
                self._back_off()
                continue
            try:
                failed = self._read_stream(stream)
            finally:
                self._overflows += stream.overflows
            self._send_status()
            stream.close()
            if failed:
                self._back_off()

    def _back_off(self) -> None:
        """Wait before the next attempt, and send heartbeats meanwhile."""
        until_s = time.monotonic() + RETRY_INTERVAL_S
        while time.monotonic() < until_s:
            self._send_status()
            self._pipe.wait(HEARTBEAT_INTERVAL_S)

    def _open(self) -> CaptureStream:
        microphones = query_microphones(self._portaudio, probe_rates=False)
        microphone = resolve_device(self._options.device, microphones, self._pinned_id)
        stream = CaptureStream(
            self._portaudio,
            microphone,
            self._options.channel,
            self._options.rate_hz,
            self._options.latency_s,
            self._notify_fd,
        )
        self._pinned_id, self._device = microphone.stable_id, microphone.name
        self._port = microphone.port
        self._opens += 1
        return stream

    def _read_stream(self, stream: CaptureStream) -> bool:
        """Send a stream's audio until it must be reopened; return whether the stream failed."""
        resumed = self._audio_end.captured_s is not None
        clock = SampleClock(
            stream.rate_hz, stream.started_s, self._options.latency_s, resumed=resumed
        )
        resampler = StreamResampler(stream, clock, self._options.model_rate_hz, self._audio_end)
        resumed_at_s = stream.started_s
        timeout_s = POLL_INTERVAL_S
        while True:
            before_s = time.monotonic()
            notified = self._pipe.wait(timeout_s)
            now_s = time.monotonic()
            if now_s - before_s > max(HEARTBEAT_INTERVAL_S, timeout_s + 0.05):
                resumed_at_s = now_s  # the process was suspended: callbacks get time to catch up
            self._queue_audio(resampler.read(), resampler)
            quiet_s = now_s - max(resumed_at_s, stream.last_callback_s or stream.started_s)
            failed = self._has_failed(stream, clock)
            if failed or quiet_s >= REOPEN_FROZEN_S or self._silence_needs_reopen(now_s):
                self._queue_audio(resampler.flush(), resampler)
                return failed
            self._update_state(stream, resampler, quiet_s, clock.measured_rate_hz)
            self._send_status(stream, clock.measured_rate_hz)
            # After a timeout every callback notifies again, so that a late one is noticed.
            stream.notify_at_frame = self._next_needed_frame(resampler) if notified else 0
            timeout_s = IDLE_TIMEOUT_S if stream.notify_at_frame else POLL_INTERVAL_S

    def _queue_audio(self, parts: list[CapturedAudio], resampler: StreamResampler) -> None:
        for audio in parts:
            self._pipe.queue_audio(audio)
        self._audio_end = resampler.audio_end

    def _next_needed_frame(self, resampler: StreamResampler) -> int:
        """Return the frame that completes the next window; 0 if every callback is needed.

        Waking for each callback, some 13 a second, costs more than capturing does.
        """
        ends = self._pipe.window_ends
        running = self._state is SourceState.RUNNING
        if ends is None or not running or resampler.needs_every_callback:
            return 0
        next_start = self._audio_end.next_start
        latest = next_start + round(MAX_CHUNK_INTERVAL_S * self._options.model_rate_hz)
        return resampler.frames_needed(min(ends.after(next_start), latest))

    def _has_failed(self, stream: CaptureStream, clock: SampleClock) -> bool:
        if stream.finished:
            self._reason = f"microphone {self._device!r}: the driver ended the stream"
        elif stream.failed:
            self._reason = f"microphone {self._device!r}: its callback failed"
        elif clock.running_ahead:
            self._reason = f"microphone {self._device!r} delivers faster than real time"
        else:
            return False
        self._state = SourceState.MISSING
        return True

    def _update_state(
        self,
        stream: CaptureStream,
        resampler: StreamResampler,
        quiet_s: float,
        measured_rate_hz: float | None,
    ) -> None:
        name = f"microphone {self._device!r}"
        constant = resampler.constant_run
        if quiet_s >= FROZEN_S:
            self._state = SourceState.FROZEN
            self._reason = f"{name} is open, but has delivered nothing for over {FROZEN_S} s"
        elif not stream.read_frames:
            pass  # the last state remains until there is audio
        elif constant.length >= SILENT_S * stream.rate_hz:
            self._state = SourceState.SILENT
            self._reason = (
                f"{name} delivers digital silence (every sample is {constant.value:g}): "
                "is it muted, or did the sound server take another source?"
            )
            self._silent_since_s = self._silent_since_s or time.monotonic()
        elif self._state is not SourceState.SILENT or not constant.length:
            self._state, self._reason = SourceState.RUNNING, ""
            self._silent_since_s, self._silent_reopens = None, 0
            if measured_rate_hz and abs(measured_rate_hz / stream.rate_hz - 1) >= RATE_TOLERANCE:
                self._reason = (
                    f"{name} delivers {measured_rate_hz:.0f} samples per second instead of "
                    f"{stream.rate_hz}: its clock is wrong, or it loses audio all the time"
                )

    def _silence_needs_reopen(self, now_s: float) -> bool:
        wait_s = REOPEN_SILENT_S[min(self._silent_reopens, 1)]
        if self._silent_since_s is None or now_s - self._silent_since_s < wait_s:
            return False
        self._silent_since_s = now_s
        self._silent_reopens += 1
        return True

    def _send_status(
        self,
        stream: CaptureStream | None = None,
        measured_rate_hz: float | None = None,
        timeout_s: float = HANG_TIMEOUT_S,
    ) -> None:
        self._pipe.send_status(
            CaptureStatus(
                self._state,
                self._reason,
                self._device,
                self._pinned_id,
                self._port,
                self._opens,
                self._overflows + (stream.overflows if stream else 0),
                round(measured_rate_hz, 1) if measured_rate_hz else None,
                timeout_s,
            )
        )


def main() -> None:
    """Capture until the monitor closes its ends of the pipes."""
    output_fd, parent_fd = os.dup(1), os.dup(0)
    null_fd = os.open(os.devnull, os.O_RDWR)
    for standard_fd in (0, 1, 2):  # sound libraries print
        os.dup2(null_fd, standard_fd)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for signum in (signal.SIGPIPE, signal.SIGTERM):  # it ends with the monitor, not before
        signal.signal(signum, signal.SIG_IGN)
    notify_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    pipe = Pipe(output_fd, parent_fd, notify_fd)
    try:
        _capture(CaptureOptions.from_json(sys.argv[1]), pipe, notify_fd)
    except ParentExitedError:
        # PortAudio's own shutdown may hang; the kernel releases the device.
        os._exit(0)
    except SourceError as error:
        pipe.send_status(CaptureStatus(SourceState.MISSING, str(error)))
    except Exception as error:  # the thread's top: reported as the last message
        reason = f"the capture process failed: {error!r}"
        pipe.send_status(CaptureStatus(SourceState.MISSING, reason))
    os._exit(1)


def _capture(options: CaptureOptions, pipe: Pipe, notify_fd: int) -> None:
    pipe.window_ends = options.window_ends
    pipe.send_status(CaptureStatus(SourceState.OPENING, timeout_s=OPENING_TIMEOUT_S))
    try:
        import sounddevice
    except OSError as error:
        msg = "PortAudio is not installed: install the package libportaudio2"
        raise SourceError(msg) from error
    Capture(options, sounddevice, pipe, notify_fd).run()


if __name__ == "__main__":
    main()
