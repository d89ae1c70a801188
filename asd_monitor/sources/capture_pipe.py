"""The capture process's end of the pipe to the monitor."""

import os
import select
import time

from asd_monitor.records import SourceState
from asd_monitor.sources.capture_messages import (
    CapturedAudio,
    CaptureStatus,
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
        self._news = news
        self._poll = select.poll()
        self._poll.register(lifeline, 0)  # only its end is of interest
        self._poll.register(news, select.POLLIN)
        self.status = CaptureStatus(SourceState.OPENING)
        self._sent_s = 0.0

    def wait(self, timeout_s: float) -> None:
        """Sleep until a callback came, or the time is over."""
        for file, _ in self._poll.poll(timeout_s * 1000):
            if file != self._news:
                raise MonitorGoneError
            os.eventfd_read(self._news)

    def tell(self, status: CaptureStatus) -> None:
        """Send the status if it is new, or if nothing was sent lately."""
        if status != self.status or time.monotonic() - self._sent_s >= HEARTBEAT_S:
            self.status = status
            self._send(*encode_status(status))

    def send_audio(self, audio: CapturedAudio) -> None:
        """Send audio; waits where the monitor is slow, while the ring goes on filling."""
        self._send(*encode_audio(audio))

    def _send(self, header: bytes, payload: memoryview) -> None:
        self._sent_s = time.monotonic()
        try:
            written = os.writev(self._output, [header, payload])
            if written == len(header) + len(payload):
                return
            rest = memoryview(header + bytes(payload))[written:]
            while rest:
                rest = rest[os.write(self._output, rest) :]
        except BrokenPipeError as error:
            raise MonitorGoneError from error
