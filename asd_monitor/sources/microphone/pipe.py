"""The capture process's end of the pipe to the monitor."""

import os
import select
import time

from asd_monitor.records import SourceState
from asd_monitor.sources.microphone.messages import (
    ENDS,
    CapturedAudio,
    CaptureStatus,
    WindowEnds,
    encode_audio,
    encode_status,
)

HEARTBEAT_S = 0.5


class MonitorGoneError(Exception):
    """The monitor closed its end of the pipe."""


class Pipe:
    """The way back to the monitor, and the end of waiting for news."""

    def __init__(self, output: int, lifeline: int, news: int) -> None:
        self._output = output
        self._lifeline = lifeline
        self._news = news
        self._poll = select.poll()
        self._poll.register(lifeline, select.POLLIN)
        self._poll.register(news, select.POLLIN)
        self.status = CaptureStatus(SourceState.OPENING)
        self.window_ends: WindowEnds | None = None
        self._waiting: list[bytes | memoryview] = []
        self._sent_s = 0.0

    def wait(self, timeout_s: float) -> bool:
        """Sleep until there is audio, or the time is over; return whether there was news."""
        ready = self._poll.poll(timeout_s * 1000)
        for file, _ in ready:
            if file == self._news:
                os.eventfd_read(self._news)
            elif data := os.read(self._lifeline, 1024 * ENDS.size):
                self.window_ends = WindowEnds.newest(data)
            else:
                raise MonitorGoneError
        return bool(ready)

    def put_audio(self, audio: CapturedAudio) -> None:
        """Let audio be sent with the next :meth:`tell`."""
        self._waiting += encode_audio(audio)

    def tell(self, status: CaptureStatus) -> None:
        """Send audio that was put here, and the status if it is new or nothing else was sent.

        Waits where the monitor is slow, while the ring goes on filling.
        """
        silent = not self._waiting and time.monotonic() - self._sent_s >= HEARTBEAT_S
        if status != self.status or silent:
            self.status = status
            self._waiting += encode_status(status)
        if self._waiting:
            parts, self._waiting = self._waiting, []
            self._send(parts)

    def _send(self, parts: list[bytes | memoryview]) -> None:
        self._sent_s = time.monotonic()
        try:
            written = os.writev(self._output, parts)
            if written == sum(map(len, parts)):
                return
            rest = memoryview(b"".join(parts))[written:]
            while rest:
                rest = rest[os.write(self._output, rest) :]
        except BrokenPipeError as error:
            raise MonitorGoneError from error
