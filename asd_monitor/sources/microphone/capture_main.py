"""The process that captures one microphone for all its machines; only the monitor starts it.

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
from asd_monitor.sources.microphone.devices import Microphone, query_microphones
from asd_monitor.sources.microphone.identity import MicrophoneIdentity
from asd_monitor.sources.microphone.messages import (
    HANG_TIMEOUT_S,
    CapturedAudio,
    CaptureOptions,
    CaptureStatus,
    TrackOptions,
)
from asd_monitor.sources.microphone.pipe import HEARTBEAT_INTERVAL_S, ParentExitedError, Pipe
from asd_monitor.sources.microphone.selection import resolve_device
from asd_monitor.sources.microphone.stream import CaptureStream
from asd_monitor.sources.microphone.track import Track

RETRY_INTERVAL_S = 2.0
REOPEN_FROZEN_S = 2.5
REOPEN_SILENT_S = (10.0, 30.0)
"""When its source disappears, a sound server moves a stream to another one without notice, often
a silent one. Opening the stream again moves it back: after 10 s of silence, then every 30 s."""
IDLE_TIMEOUT_S = 1.2
"""Longest wait while callbacks need not wake the process; then their times are checked."""
POLL_INTERVAL_S = HEARTBEAT_INTERVAL_S / 2
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
        Receives audio and statuses.
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
        self._tracks = [Track(track) for track in options.tracks]
        self._microphone: Microphone | None = None
        self._pinned = options.pinned
        self._opens = 0
        self._overflows = 0
        self._reopened_s = 0.0
        self._silent_reopens = 0

    def run(self) -> None:
        """Open the device, read it, and open it again after a failure, until the monitor exits."""
        fresh = True  # importing sounddevice has initialised PortAudio
        while True:
            self._send_statuses(timeout_s=OPENING_TIMEOUT_S)
            try:
                if not fresh:
                    with contextlib.suppress(self._portaudio.PortAudioError):
                        self._portaudio._terminate()  # fails if initialising failed before
                    self._portaudio._initialize()
                fresh = False
                stream = self._open()
            except (SourceError, self._portaudio.PortAudioError) as error:
                for track in self._tracks:
                    track.fail(str(error))
                self._back_off()
                continue
            try:
                failed = self._read_stream(stream)
            finally:
                self._overflows += stream.overflows
            self._send_statuses()
            stream.close()
            if failed:
                self._back_off()

    @property
    def _device(self) -> str:
        """Name of the device, as it was found or as the settings name it."""
        return self._pinned.name if self._pinned else str(self._options.device)

    def _back_off(self) -> None:
        """Wait before the next attempt, and send heartbeats meanwhile."""
        until_s = time.monotonic() + RETRY_INTERVAL_S
        while time.monotonic() < until_s:
            self._send_statuses()
            self._pipe.wait(HEARTBEAT_INTERVAL_S)
            self._change_tracks()

    def _open(self) -> CaptureStream:
        """Open the device for all tracks whose channel it has, and start these."""
        options = self._options
        microphones = query_microphones(self._portaudio, probe_rates=False)
        microphone = resolve_device(options.device, microphones, self._pinned)
        self._microphone = microphone
        channels = {track: track.channels_to_open(microphone) for track in self._tracks}
        if not any(channels.values()):
            raise SourceError(self._tracks[0].reason)
        stream = CaptureStream(
            self._portaudio,
            microphone,
            max(channels.values()),
            options.rate_hz,
            max(track.model_rate_hz for track in self._tracks),
            options.latency_s,
            self._notify_fd,
        )
        for track in self._tracks:
            if channels[track]:
                track.start(stream, options.latency_s)
        self._pinned = MicrophoneIdentity.of(microphone)
        self._opens += 1
        return stream

    def _read_stream(self, stream: CaptureStream) -> bool:
        """Send a stream's audio until it must be reopened; return whether the stream failed."""
        resumed_at_s = stream.started_s
        timeout_s = POLL_INTERVAL_S
        while True:
            before_s = time.monotonic()
            notified = self._pipe.wait(timeout_s)
            now_s = time.monotonic()
            if now_s - before_s > max(HEARTBEAT_INTERVAL_S, timeout_s + 0.05):
                resumed_at_s = now_s  # the process was suspended: callbacks get time to catch up
            self._change_tracks(stream)
            callbacks = stream.pop_callbacks()
            for number, track in enumerate(self._tracks):
                self._queue_audio(number, track.read(callbacks))
            quiet_s = now_s - max(resumed_at_s, stream.last_callback_s or stream.started_s)
            failed = self._has_failed(stream)
            if failed or quiet_s >= REOPEN_FROZEN_S or self._silence_needs_reopen(now_s):
                for number, track in enumerate(self._tracks):
                    self._queue_audio(number, track.stop())
                return failed
            for track in self._tracks:
                track.update_state(self._device, quiet_s)
            self._send_statuses(stream)
            # After a timeout every callback notifies again, so that a late one is noticed.
            stream.notify_at_frame = self._next_needed_frame() if notified else 0
            timeout_s = IDLE_TIMEOUT_S if stream.notify_at_frame else POLL_INTERVAL_S

    def _change_tracks(self, stream: CaptureStream | None = None) -> None:
        """Begin the tracks that were added, on an open stream too, and end those that ended."""
        changes, self._pipe.track_changes = self._pipe.track_changes, []
        for number, options in changes:
            if isinstance(options, TrackOptions):
                track = Track(options)
                reading = next((other for other in self._tracks if other.is_active), None)
                if stream is not None and reading is not None and self._microphone is not None:
                    track.join(reading, self._microphone, stream.ring.shape[1])
                self._tracks.append(track)
            else:
                self._tracks[number].end()

    def _queue_audio(self, number: int, parts: list[CapturedAudio]) -> None:
        for audio in parts:
            self._pipe.queue_audio(number, audio)

    def _next_needed_frame(self) -> int:
        """Return the first frame that a track waits for; 0 if every callback is needed."""
        ends = self._pipe.window_ends
        needed = [
            track.next_needed_frame(ends.get(number))
            for number, track in enumerate(self._tracks)
            if track.is_active
        ]
        return min(needed, default=0)

    def _has_failed(self, stream: CaptureStream) -> bool:
        if stream.finished:
            reason = f"microphone {self._device!r}: the driver ended the stream"
        elif stream.failed:
            reason = f"microphone {self._device!r}: its callback failed"
        elif any(track.is_running_ahead for track in self._tracks):
            reason = f"microphone {self._device!r} delivers faster than real time"
        else:
            return False
        for track in self._tracks:
            if track.is_active:
                track.fail(reason)
        return True

    def _silence_needs_reopen(self, now_s: float) -> bool:
        """Return whether every channel has been silent for so long that it may be moved back."""
        since_s = [track.silent_since_s for track in self._tracks if track.is_active]
        silent_s = [moment for moment in since_s if moment is not None]
        if not since_s or len(silent_s) < len(since_s):
            self._silent_reopens = 0
            return False
        wait_s = REOPEN_SILENT_S[min(self._silent_reopens, 1)]
        if now_s - max(*silent_s, self._reopened_s) < wait_s:
            return False
        self._reopened_s = now_s
        self._silent_reopens += 1
        return True

    def _send_statuses(
        self, stream: CaptureStream | None = None, timeout_s: float = HANG_TIMEOUT_S
    ) -> None:
        overflows = self._overflows + (stream.overflows if stream else 0)
        self._pipe.send_statuses(
            [
                None if track.has_ended else self._status(track, overflows, timeout_s)
                for track in self._tracks
            ]
        )

    def _status(self, track: Track, overflows: int, timeout_s: float) -> CaptureStatus:
        rate_hz = track.measured_rate_hz
        return CaptureStatus(
            track.state,
            track.reason,
            self._device,
            self._pinned.stable_id if self._pinned else None,
            self._pinned.port if self._pinned else "",
            self._opens,
            overflows,
            round(rate_hz, 1) if rate_hz else None,
            timeout_s,
            track.rate_hz,
            self._microphone.channels if self._microphone else None,
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
    options = CaptureOptions.from_json(sys.argv[1])
    pipe = Pipe(output_fd, parent_fd, notify_fd, len(options.tracks))
    try:
        _capture(options, pipe, notify_fd)
    except ParentExitedError:
        # PortAudio's own shutdown may hang; the kernel releases the device.
        os._exit(0)
    except SourceError as error:
        pipe.send_to_all(CaptureStatus(SourceState.MISSING, str(error)))
    except Exception as error:  # the thread's top: reported as the last message
        reason = f"the capture process failed: {error!r}"
        pipe.send_to_all(CaptureStatus(SourceState.MISSING, reason))
    os._exit(1)


def _capture(options: CaptureOptions, pipe: Pipe, notify_fd: int) -> None:
    for number, track in enumerate(options.tracks):
        if track.window_ends is not None:
            pipe.window_ends[number] = track.window_ends
    pipe.send_to_all(CaptureStatus(SourceState.OPENING, timeout_s=OPENING_TIMEOUT_S))
    try:
        import sounddevice
    except OSError as error:
        msg = "PortAudio is not installed: install the package libportaudio2"
        raise SourceError(msg) from error
    Capture(options, sounddevice, pipe, notify_fd).run()


if __name__ == "__main__":
    main()
