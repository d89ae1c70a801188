"""The stream of live data of one open page."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

QUEUE_FRAMES = 64
KEEP_ALIVE_S = 15.0


@dataclass(frozen=True, slots=True)
class Frame:
    """Messages of an event stream, serialised once for all pages that receive them."""

    data: bytes
    chunk: bytes = field(init=False)
    """The same as a chunk of an HTTP/1.1 response."""

    def __post_init__(self) -> None:
        """Make the chunk."""
        object.__setattr__(self, "chunk", b"%x\r\n%b\r\n" % (len(self.data), self.data))


class Connection(Protocol):
    """The connection of a page."""

    def write_chunk(self, chunk: bytes) -> bool:
        """Write a chunk of the response; return False if the client does not keep up."""


class Stream:
    """Frames for one open page: written to its connection at once, or queued while it is slow.

    Waking a task and passing a message through the layers of the server for each page costs more
    than the page's other work, so a frame is written directly wherever nothing waits before it.

    Parameters
    ----------
    machine
        Only this machine; None: all.
    with_spectrogram
        Whether the page shows the machine's spectrogram.
    connection
        The page's connection; None: frames are only queued.
    """

    def __init__(
        self, machine: str | None, with_spectrogram: bool, connection: Connection | None = None
    ) -> None:
        self.machine = machine
        self.with_spectrogram = with_spectrogram
        self.dropped = 0
        self._connection = connection
        self._is_idle = False
        """Whether all that was queued has been sent, and the reader waits for more."""
        self._frames: deque[Frame] = deque()
        self._has_frames = asyncio.Event()

    def put(self, frame: Frame) -> bool:
        """Send or append a frame; if the queue is full, drop the oldest and return False."""
        if (
            self._is_idle
            and not self._frames
            and self._connection is not None
            and self._connection.write_chunk(frame.chunk)
        ):
            return True
        is_full = len(self._frames) >= QUEUE_FRAMES
        if is_full:
            self._frames.popleft()
            self.dropped += 1
        self._frames.append(frame)
        self._has_frames.set()
        return not is_full

    async def get(self) -> bytes:
        """Return what is queued, or a comment if that is nothing for 15 s."""
        self._is_idle = not self._frames
        # A timer costs less than wait_for, which starts a task.
        timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._has_frames.set)
        await self._has_frames.wait()
        timer.cancel()
        self._is_idle = False
        data = b"".join(frame.data for frame in self._frames) or b": keep-alive\n\n"
        self._frames.clear()
        self._has_frames.clear()
        return data
