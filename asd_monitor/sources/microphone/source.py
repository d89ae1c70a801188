"""Audio from a sound card or a sound server, captured in a separate process."""

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Self

from asd_monitor.records import AudioChunk, SourceHealth
from asd_monitor.sources.context import SourceContext
from asd_monitor.sources.microphone.child_process import (
    EXIT_TIMEOUT_S,
    CaptureProcess,
    start_capture,
)
from asd_monitor.sources.microphone.chunk_queue import ChunkQueue
from asd_monitor.sources.microphone.health import HealthTracker
from asd_monitor.sources.microphone.identity import MicrophoneIdentity
from asd_monitor.sources.microphone.messages import CapturedAudio, CaptureOptions, WindowEnds
from asd_monitor.sources.microphone.settings import MicrophoneSettings

HEARTBEAT_TIMEOUT_S = 2.0
RESTART_INTERVAL_S = 2.0
MAX_HELD_S = 2.0
"""Audio of this age, besides what the device's buffer holds, may still be in the process."""

logger = logging.getLogger(__name__)


class MicrophoneSource:
    """The sound of a microphone; implements :class:`~asd_monitor.sources.AudioSource`.

    The sample index starts with the first audio. From then on every sample is either delivered
    or counted as lost, including while the device is away.

    Parameters
    ----------
    machine
        Name of the machine.
    settings
        Which device, and how to open it.
    sample_rate_hz
        Sample rate of the delivered audio: the model's.
    on_audio
        Called with all captured audio, from the source's own thread; for measurements.
    note, missing_hint
        What the health says while the microphone runs, and in addition while it is missing.
    """

    def __init__(
        self,
        machine: str,
        settings: MicrophoneSettings,
        sample_rate_hz: int,
        on_audio: Callable[[CapturedAudio], None] = lambda _: None,
        *,
        note: str = "",
        missing_hint: str = "",
    ) -> None:
        self.machine = machine
        self._settings = settings
        self._sample_rate_hz = sample_rate_hz
        self._on_audio = on_audio
        self._queue = ChunkQueue(sample_rate_hz)
        self._health = HealthTracker(
            machine,
            str(settings.device),
            sample_rate_hz,
            max_delay_s=settings.latency_s + MAX_HELD_S,
            on_change=lambda: self._wake(),
            note=note,
            missing_hint=missing_hint,
        )
        self._wake: Callable[[], None] = lambda: None
        self._lock = threading.Lock()  # guards the next two
        self._window_ends: WindowEnds | None = None
        self._process: CaptureProcess | None = None
        self._last_message_s = 0.0
        self._closing = False
        self._stop_fd = -1
        self._thread: threading.Thread | None = None

    @classmethod
    def build(cls, settings: MicrophoneSettings, context: SourceContext) -> Self:
        """Build the source of a monitor's machine."""
        return cls(
            context.machine,
            settings,
            context.sample_rate_hz,
            note=context.note,
            missing_hint=context.missing_hint,
        )

    @property
    def identity(self) -> MicrophoneIdentity | None:
        """The device that delivers the sound; None until it was found."""
        return self._health.identity

    def open(self, wake: Callable[[], None]) -> None:
        """Start capturing; ``wake`` is called from the source's own thread."""
        self._wake = wake
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(
            target=self._run, name=f"microphone {self.machine}", daemon=True
        )
        self._thread.start()

    def expect_windows(self, end: int, hop_samples: int) -> None:
        """Let the capture process send audio when it completes a window."""
        with self._lock:
            self._window_ends = WindowEnds(end, hop_samples)
            if self._process is not None:
                self._process.send_window_ends(self._window_ends)

    def read(self) -> list[AudioChunk]:
        """Return the audio that arrived since the last call."""
        return self._queue.take_all()

    def health(self) -> SourceHealth:
        """Return the current health; audio that is being lost is counted as time passes."""
        return self._health.health(self._queue.counts, estimate_loss=not self._closing)

    def close(self) -> None:
        """Stop capturing; audio that arrived before can still be read."""
        self._closing = True
        if self._thread is None:
            self._health.mark_closed()
            return
        with self._lock:
            if self._stop_fd >= 0:
                os.eventfd_write(self._stop_fd, 1)
        self._thread.join(timeout=5 * EXIT_TIMEOUT_S)

    def _run(self) -> None:
        while not self._closing:
            started_s = time.monotonic()
            reason = self._capture()
            if self._closing:
                break
            logger.warning("%s: %s; starting it again", self.machine, reason)
            self._health.mark_ended(reason)
            if time.monotonic() - started_s < RESTART_INTERVAL_S:
                stop = select.poll()
                stop.register(self._stop_fd, select.POLLIN)
                stop.poll(RESTART_INTERVAL_S * 1000)
        self._health.mark_closed()
        with self._lock:
            os.close(self._stop_fd)
            self._stop_fd = -1

    def _capture(self) -> str:
        """Run one capture process until it ends, and return why it ended."""
        try:
            process = self._start()
        except OSError as error:
            return f"the capture process cannot be started: {error}"
        try:
            return self._receive(process)
        except Exception as error:  # the thread's top: a source never gives up
            logger.exception("%s: unexpected error", self.machine)
            return f"unexpected error: {error!r}"
        finally:
            with self._lock:
                self._process = None
            process.close()

    def _start(self) -> CaptureProcess:
        window_ends = self._window_ends
        options = CaptureOptions(
            device=self._settings.device,
            pinned_id=self._health.pinned_id,
            channel=self._settings.channel,
            rate_hz=self._settings.rate_hz,
            latency_s=self._settings.latency_s,
            model_rate_hz=self._sample_rate_hz,
            audio_end=self._queue.counts.audio_end,
            window_ends=window_ends,
        )
        process = start_capture(options)
        with self._lock:
            self._process = process
            if self._window_ends is not window_ends and self._window_ends is not None:
                process.send_window_ends(self._window_ends)
        return process

    def _receive(self, process: CaptureProcess) -> str:
        """Process messages until the process ends or hangs, and return which."""
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.register(self._stop_fd, select.POLLIN)
        self._last_message_s = time.monotonic()
        while not self._closing:
            ready = [fd for fd, _ in poll.poll(1000 * self._timeout_s())]
            if process.fileno() in ready:
                try:
                    messages = process.receive()
                except ValueError as error:
                    return f"invalid message from the capture process: {error}"
                if messages is None:
                    return process.describe_exit()
                self._last_message_s = time.monotonic()
                for message in messages:
                    if isinstance(message, CapturedAudio):
                        self._on_audio(message)
                        self._queue.put(message)
                    else:
                        self._health.update(message)
                self._wake()
            elif time.monotonic() - self._last_message_s > self._health.timeout_s:
                return "the capture process hangs, probably in the sound driver"
            elif time.monotonic() - self._last_message_s > HEARTBEAT_TIMEOUT_S:
                self._health.mark_unresponsive()
        return "closed"

    def _timeout_s(self) -> float:
        """Return how long to wait for a message until one of the two timeouts is exceeded."""
        elapsed_s = time.monotonic() - self._last_message_s
        limits_s = (HEARTBEAT_TIMEOUT_S, self._health.timeout_s)
        remaining_s = [limit_s - elapsed_s for limit_s in limits_s if limit_s > elapsed_s]
        return min(remaining_s, default=0) + 0.005
