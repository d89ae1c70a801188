"""The capture of one device for all its machines: a thread that runs its capture process.

A sound card can be opened only once, so machines on different channels of a card share a process.
"""

import logging
import os
import select
import threading
import time

from asd_monitor.sources.microphone.child_process import (
    EXIT_TIMEOUT_S,
    CaptureProcess,
    start_capture,
)
from asd_monitor.sources.microphone.identity import MicrophoneIdentity
from asd_monitor.sources.microphone.messages import (
    HANG_TIMEOUT_S,
    CaptureOptions,
    CaptureStatus,
    WindowEnds,
)
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.microphone.track_receiver import TrackReceiver

HEARTBEAT_TIMEOUT_S = 2.0
RESTART_INTERVAL_S = 2.0

logger = logging.getLogger(__name__)


class DeviceCapture:
    """Capture of one device, for one or more machines.

    The process starts when the first machine opens its source, and ends when all machines have
    closed theirs. A machine that is added later joins the process, and one that is closed leaves
    it, without an effect on the sound of the others.

    Parameters
    ----------
    settings
        Which device, and how to open it; its channel is not used.
    """

    def __init__(self, settings: MicrophoneSettings) -> None:
        self._settings = settings
        self._pinned: MicrophoneIdentity | None = None
        self._lock = threading.Lock()  # guards the next four
        self._receivers: list[TrackReceiver] = []
        self._tracks: list[TrackReceiver] = []
        """The receivers of the present process, by the numbers of their tracks."""
        self._process: CaptureProcess | None = None
        self._stop_fd = -1
        self._last_message_s = 0.0
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def _machines(self) -> str:
        return ", ".join(each.machine for each in self._receivers if not each.is_closed)

    @property
    def has_ended(self) -> bool:
        """Whether all its machines are closed, so that it captures nothing more."""
        return bool(self._receivers) and all(each.is_closed for each in self._receivers)

    def add(self, receiver: TrackReceiver) -> None:
        """Add a machine, whether or not the device is already captured."""
        with self._lock:
            if self._closing:
                raise ValueError("a machine was added to a device that is no longer captured")
            self._receivers.append(receiver)
            if self._process is not None:
                self._add_to_process(receiver)

    def _add_to_process(self, receiver: TrackReceiver) -> None:
        """Let the present process capture for a machine; the caller holds the lock."""
        assert self._process is not None  # noqa: S101 - as the callers have checked
        number = len(self._tracks)
        self._tracks.append(receiver)
        self._process.send(number, receiver.options())
        if receiver.window_ends is not None:
            self._process.send(number, receiver.window_ends)

    def open(self) -> None:
        """Start capturing, unless another machine has done so."""
        with self._lock:
            if self._thread is not None or self._closing:
                return
            self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._thread = threading.Thread(
                target=self._run, name=f"microphone {self._machines}", daemon=True
            )
        self._thread.start()

    def close(self, receiver: TrackReceiver) -> None:
        """Stop capturing for a machine, and close the device after the last one."""
        with self._lock:
            if not self.has_ended:
                if self._process is not None and receiver in self._tracks:
                    self._process.send(self._tracks.index(receiver), None)
                return
            self._closing = True
            if self._thread is None:
                return
            if self._stop_fd >= 0:
                os.eventfd_write(self._stop_fd, 1)
        self._thread.join(timeout=5 * EXIT_TIMEOUT_S)

    def send_window_ends(self, receiver: TrackReceiver, ends: WindowEnds) -> None:
        """Let the process send a machine's audio when it completes a window."""
        with self._lock:
            receiver.window_ends = ends
            if self._process is not None and receiver in self._tracks:
                self._process.send(self._tracks.index(receiver), ends)

    def _run(self) -> None:
        while not self._closing:
            started_s = time.monotonic()
            reason = self._capture()
            if self._closing:
                break
            logger.warning("%s: %s; starting it again", self._machines, reason)
            for receiver in self._receivers:
                if not receiver.is_closed:
                    receiver.health_tracker.mark_ended(reason)
            if time.monotonic() - started_s < RESTART_INTERVAL_S:
                stop = select.poll()
                stop.register(self._stop_fd, select.POLLIN)
                stop.poll(RESTART_INTERVAL_S * 1000)
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
            logger.exception("%s: unexpected error", self._machines)
            return f"unexpected error: {error!r}"
        finally:
            with self._lock:
                self._process = None
            process.close()

    def _start(self) -> CaptureProcess:
        with self._lock:
            receivers = [receiver for receiver in self._receivers if not receiver.is_closed]
        tracks = tuple(receiver.options() for receiver in receivers)
        options = CaptureOptions(
            device=self._settings.device,
            pinned=self._pinned,
            rate_hz=self._settings.rate_hz,
            latency_s=self._settings.latency_s,
            tracks=tracks,
        )
        process = start_capture(options)
        with self._lock:
            self._process, self._tracks = process, receivers
            for number, receiver in enumerate(receivers):
                ends = receiver.window_ends
                if ends is not None and ends is not tracks[number].window_ends:
                    process.send(number, ends)
            for receiver in self._receivers:
                if receiver not in self._tracks and not receiver.is_closed:  # added meanwhile
                    self._add_to_process(receiver)
        return process

    def _receive(self, process: CaptureProcess) -> str:
        """Process messages until the process ends or hangs, and return which."""
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.register(self._stop_fd, select.POLLIN)
        self._last_message_s, hang_timeout_s = time.monotonic(), HANG_TIMEOUT_S
        while not self._closing:
            ready = [fd for fd, _ in poll.poll(1000 * self._timeout_s(hang_timeout_s))]
            silence_s = time.monotonic() - self._last_message_s
            if process.fileno() in ready:
                try:
                    messages = process.receive()
                except ValueError as error:
                    return f"invalid message from the capture process: {error}"
                if messages is None:
                    return process.describe_exit()
                self._last_message_s = time.monotonic()
                receivers = {}
                for number, message in messages:
                    receivers[number] = receiver = self._tracks[number]
                    receiver.receive(message)
                    if isinstance(message, CaptureStatus):
                        hang_timeout_s = message.timeout_s
                        self._pinned = message.identity or self._pinned
                for receiver in receivers.values():
                    receiver.wake()
            elif silence_s > hang_timeout_s:
                return "the capture process hangs, probably in the sound driver"
            elif silence_s > HEARTBEAT_TIMEOUT_S:
                for receiver in self._receivers:
                    if not receiver.is_closed:
                        receiver.health_tracker.mark_unresponsive()
        return "closed"

    def _timeout_s(self, hang_timeout_s: float) -> float:
        """Return how long to wait for a message until one of the two timeouts is exceeded."""
        elapsed_s = time.monotonic() - self._last_message_s
        limits_s = (HEARTBEAT_TIMEOUT_S, hang_timeout_s)
        remaining_s = [limit_s - elapsed_s for limit_s in limits_s if limit_s > elapsed_s]
        return min(remaining_s, default=0) + 0.005


class DeviceCaptures:
    """The captures of a monitor: one for each device, however many machines use it."""

    def __init__(self) -> None:
        self._captures: dict[int | str, DeviceCapture] = {}

    def of(self, settings: MicrophoneSettings) -> DeviceCapture:
        """Return the capture of the device that the settings name."""
        capture = self._captures.get(settings.device)
        if capture is None or capture.has_ended:
            capture = self._captures[settings.device] = DeviceCapture(settings)
        return capture
