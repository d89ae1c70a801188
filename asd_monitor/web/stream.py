"""The stream of live data of one open page."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

QUEUE_FRAMES = 64


class Frame:
    """Messages of an event stream, serialised once for all pages that receive them."""

    __slots__ = ("chunk", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.chunk = b"%x\r\n%b\r\n" % (len(data), data)
        """The same as a chunk of an HTTP/1.1 response."""


KEEP_ALIVE = Frame(b": keep-alive\n\n")


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
    may_continue
        Returns whether the viewer is still signed in.
    """

    def __init__(
        self,
        machine: str | None,
        with_spectrogram: bool,
        connection: Connection | None = None,
        may_continue: Callable[[], bool] = lambda: True,
    ) -> None:
        self.machine = machine
        self.with_spectrogram = with_spectrogram
        self.columns_from: int | None = None
        """Index of the sample with which the columns begin that it receives as they arise."""
        self.dropped = 0
        self.is_quiet = True
        """Whether no frame has been sent since this was set."""
        self.may_continue = may_continue
        self._connection = connection
        self._is_idle = False
        """Whether all that was queued has been sent, and the reader waits for more."""
        self._has_ended = False
        self._frames: deque[Frame] = deque()
        self._has_news = asyncio.Event()

    def put(self, frame: Frame) -> bool:
        """Send or append a frame; if the queue is full, drop the oldest and return False."""
        self.is_quiet = False
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
        self._has_news.set()
        return not is_full

    def end(self) -> None:
        """End the stream after what is queued."""
        self._has_ended = True
        self._has_news.set()

    async def get(self) -> bytes:
        """Return what is queued as soon as there is something; nothing at the end."""
        self._is_idle = not self._frames and not self._has_ended
        await self._has_news.wait()
        self._is_idle = False
        data = b"".join(frame.data for frame in self._frames)
        self._frames.clear()
        if not self._has_ended:
            self._has_news.clear()
        return data
