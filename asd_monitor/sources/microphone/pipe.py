"""The capture process's ends of the pipes to and from the monitor."""

import os
import select
import time
from collections.abc import Sequence

from asd_monitor.records import SourceState
from asd_monitor.sources.microphone.messages import (
    COMMAND,
    CapturedAudio,
    CaptureStatus,
    Command,
    WindowEnds,
    decode_commands,
    encode_audio,
    encode_status,
)

HEARTBEAT_INTERVAL_S = 0.5


class ParentExitedError(Exception):
    """Raised when the monitor has closed its ends of the pipes."""


class Pipe:
    """The pipe for audio and status to the monitor, and the wait for commands and new audio.

    Parameters
    ----------
    output_fd
        Pipe to the monitor.
    parent_fd
        Pipe from the monitor: commands, and end of file when it exits.
    notify_fd
        Eventfd that the audio callback writes to.
    tracks
        Number of tracks.

    Attributes
    ----------
    window_ends
        Where the windows of each track end, as far as that is known.
    track_changes
        Tracks that were added and that have ended since they were last taken from here.
    """

    def __init__(self, output_fd: int, parent_fd: int, notify_fd: int, tracks: int) -> None:
        self._output_fd = output_fd
        self._parent_fd = parent_fd
        self._notify_fd = notify_fd
        self._poll = select.poll()
        self._poll.register(parent_fd, select.POLLIN)
        self._poll.register(notify_fd, select.POLLIN)
        self._statuses: list[CaptureStatus | None] = [CaptureStatus(SourceState.OPENING)] * tracks
        self.window_ends: dict[int, WindowEnds] = {}
        self.track_changes: list[tuple[int, Command]] = []
        self._pending: list[bytes | memoryview] = []
        self._sent_s = 0.0

    def wait(self, timeout_s: float) -> bool:
        """Sleep until notified or until the timeout; return whether there was a notification.

        Raises
        ------
        ParentExitedError
            If the monitor has exited.
        """
        ready = self._poll.poll(timeout_s * 1000)
        for fd, _ in ready:
            if fd == self._notify_fd:
                os.eventfd_read(self._notify_fd)
            elif data := os.read(self._parent_fd, 1024 * COMMAND.size):
                self._receive(data)
            else:
                raise ParentExitedError
        return bool(ready)

    def _receive(self, data: bytes) -> None:
        for track, command in decode_commands(data):
            if isinstance(command, WindowEnds):
                self.window_ends[track] = command
            else:
                self.track_changes.append((track, command))

    def queue_audio(self, track: int, audio: CapturedAudio) -> None:
        """Send audio with the next :meth:`send_statuses`."""
        self._pending += encode_audio(track, audio)

    def send_statuses(self, statuses: Sequence[CaptureStatus | None]) -> None:
        """Send the queued audio, and the statuses that are new, or all if a heartbeat is due.

        Blocks while the monitor does not read; the stream's ring keeps filling meanwhile.
        """
        now_s = time.monotonic()
        heartbeat_due = not self._pending and now_s - self._sent_s >= HEARTBEAT_INTERVAL_S
        known = len(self._statuses)
        for track, status in enumerate(statuses):
            if status is None:  # of a track that has ended
                continue
            if track >= known or status != self._statuses[track] or heartbeat_due:
                self._pending += encode_status(track, status)
        self._statuses = list(statuses)
        if self._pending:
            self._sent_s = now_s
            parts, self._pending = self._pending, []
            self._write(parts)

    def send_to_all(self, status: CaptureStatus) -> None:
        """Send one status for all tracks."""
        self.send_statuses([status] * len(self._statuses))

    def _write(self, parts: list[bytes | memoryview]) -> None:
        try:
            written = os.writev(self._output_fd, parts)
            if written == sum(map(len, parts)):
                return
            rest = memoryview(b"".join(parts))[written:]
            while rest:
                rest = rest[os.write(self._output_fd, rest) :]
        except BrokenPipeError as error:
            raise ParentExitedError from error
