"""Live data for open pages: records become one frame for all pages that receive them."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import chain
from typing import Any

import anyio.to_thread

from asd_monitor.records import (
    CalibrationStatus,
    LearningProgress,
    MachineRemoved,
    Record,
    ScoredWindow,
    SourceHealth,
)
from asd_monitor.web.messages import describe, encode, encode_columns, encode_scores, to_json
from asd_monitor.web.spectrum import COLUMNS_PER_S, ColumnReader, Rings
from asd_monitor.web.stream import KEEP_ALIVE, Connection, Frame, Stream

MAX_STREAMS = 32
SEND_INTERVAL_S = 2.0
"""Frequent records of this time are sent together ..."""
SEND_DELAY_S = 0.05
"""... this long after the newest of them, if they come at regular times ..."""
SEND_SHIFT_S = 0.2
"""... to which the sending approaches by at most this much each time."""
SCORE_INTERVAL_S = 0.9
"""Scores of a machine are sent at most this often."""
KEEP_ALIVE_S = 15.0
PAST_COLUMNS = 60 * COLUMNS_PER_S
"""Columns of the time before a page was opened that it receives at first."""
FREQUENT = (ScoredWindow, SourceHealth, LearningProgress, CalibrationStatus)
"""Records that wait for the next sending; all others are urgent."""


class LiveHub:
    """Turn records into messages for the pages that are open.

    Waking the server's thread costs more than what it then does for a record. So only a record that
    a person may wait for, as a change of state, is sent at once; scores, health and progress are
    sent together about every two seconds, soon after the scores of the machines.

    All methods but :meth:`emit` are called in the event loop of the server.

    Parameters
    ----------
    call
        Calls a function in that event loop, from any thread.
    rings
        The newest sound of each machine.
    count_dropped
        Called for each message that a slow page has lost.
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(
        self,
        call: Callable[..., None],
        rings: Rings,
        *,
        count_dropped: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._call = call
        self._rings = rings
        self._count_dropped = count_dropped
        self.dropped = 0
        """Messages that slow pages have lost."""
        self._monotonic = monotonic
        self._pages: dict[str | None, list[Stream]] = {}
        """The streams of each machine, and of the pages of all machines (None)."""
        self._records: deque[tuple[float, Record]] = deque()
        """Records that are not sent yet, with their times."""
        self._scored_at: dict[str, float] = {}
        self._readers: dict[str, ColumnReader] = {}
        """Of the machines whose spectrogram is shown."""
        self._timer: asyncio.TimerHandle | None = None
        self._checked_at = monotonic()

    def emit(self, record: Record) -> None:
        """Send a record to the open pages; from any thread, returns at once."""
        if not self._pages:
            return
        self._records.append((self._monotonic(), record))
        if not isinstance(record, FREQUENT):
            self._call(self._send_records)

    def open(
        self,
        machine: str | None,
        with_spectrogram: bool,
        connection: Connection | None = None,
        may_continue: Callable[[], bool] = lambda: True,
    ) -> Stream | None:
        """Return a new stream, which the caller must close; None if there are too many.

        Parameters
        ----------
        machine, with_spectrogram, connection
            As of :class:`~asd_monitor.web.stream.Stream`.
        may_continue
            Returns whether the viewer is still signed in; asked every 15 s.
        """
        if sum(map(len, self._pages.values())) >= MAX_STREAMS:
            return None
        self._send_records()  # the new page is given the present state
        stream = Stream(machine, with_spectrogram, connection, may_continue)
        self._pages.setdefault(machine, []).append(stream)
        if machine is not None and with_spectrogram and machine in self._rings:
            reader = self._readers.setdefault(machine, ColumnReader(self._rings[machine]))
            stream.columns_from = reader.position
        if self._timer is None:
            self._start_timer(SEND_INTERVAL_S)
        return stream

    def close(self, stream: Stream) -> None:
        """Forget a stream."""
        streams = self._pages.get(stream.machine, [])
        if stream in streams:
            streams.remove(stream)
        if not any(one.with_spectrogram for one in streams):
            self._readers.pop(stream.machine or "", None)
        if not streams:
            self._pages.pop(stream.machine, None)
        if self._timer is not None and not self._pages:
            self._timer.cancel()
            self._timer = None
            self._records.clear()

    async def messages(self, stream: Stream, hello: dict[str, Any]) -> AsyncIterator[bytes]:
        """Yield the messages of a stream until the viewer may not see them any more.

        Parameters
        ----------
        stream
            The stream.
        hello
            The full state, with which it begins.
        """
        yield b"retry: 3000\n" + encode(b"hello", to_json(hello))
        ring = self._rings.get(stream.machine or "")
        if stream.machine is not None and ring is not None and stream.columns_from is not None:
            reader = ColumnReader(ring, PAST_COLUMNS, stream.columns_from)
            past = await anyio.to_thread.run_sync(reader.read)
            if past is not None:
                yield encode_columns(stream.machine, past, is_past=True)
        while data := await stream.get():
            yield data

    def _start_timer(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._send_regularly)

    def _send_regularly(self) -> None:
        """Send what waits, and do so again about a second later, soon after the next score."""
        now = self._monotonic()
        shift_s = now - self._records[-1][0] - SEND_DELAY_S if self._records else 0.0
        self._send_records(with_columns=True)
        if now - self._checked_at >= KEEP_ALIVE_S:
            self._checked_at = now
            self._check_streams()
        self._start_timer(SEND_INTERVAL_S - max(-SEND_SHIFT_S, min(shift_s, SEND_SHIFT_S)))

    def _check_streams(self) -> None:
        """End the streams of viewers who are signed out, and send something to the quiet ones."""
        for stream in chain.from_iterable(self._pages.values()):
            if not stream.may_continue():
                stream.end()
            elif stream.is_quiet:
                self._put(stream, KEEP_ALIVE)
            stream.is_quiet = True

    def _send_records(self, *, with_columns: bool = False) -> None:
        """Send the records that wait, as one frame for the pages that show the same.

        It ends with an urgent record, for each of which it is called: a page that reads nothing
        loses single messages then, and a burst of records is sent in parts.
        """
        pages, messages, scores = self._pages, defaultdict[str | None, bytes](bytes), list[bytes]()
        is_overview_open = None in pages
        for record in self._take_records():
            if not is_overview_open and record.machine not in pages:
                continue
            described = describe(record)
            if described is None:
                continue
            name, content = described[0], to_json(described[1])
            message = encode(name, content)
            messages[record.machine] += message
            if name == b"score":
                scores.append(content)
            else:
                messages[None] += message
        if scores and is_overview_open:
            messages[None] += encode_scores(scores)
        for machine, streams in pages.items():
            columns = self._read_columns(machine) if with_columns else b""
            self._send(streams, messages[machine], columns)

    def _take_records(self) -> Iterable[Record]:
        """Yield the records that wait now and are to be sent, up to the first urgent one."""
        for _ in range(len(self._records)):
            emitted_at, record = self._records.popleft()
            if isinstance(record, ScoredWindow):
                scored_at = self._scored_at.get(record.machine, float("-inf"))
                if emitted_at - scored_at < SCORE_INTERVAL_S:
                    continue
                self._scored_at[record.machine] = emitted_at
            elif isinstance(record, MachineRemoved):
                self._scored_at.pop(record.machine, None)
                self._readers.pop(record.machine, None)
            yield record
            if not isinstance(record, FREQUENT):
                return

    def _read_columns(self, machine: str | None) -> bytes:
        """Return the new columns of a machine's spectrogram, if a page shows it."""
        reader = self._readers.get(machine or "")
        columns = None if reader is None else reader.read()
        return b"" if columns is None else encode_columns(machine or "", columns)

    def _send(self, streams: Iterable[Stream], data: bytes, columns: bytes) -> None:
        """Send messages, and columns to those pages that show them."""
        plain = Frame(data) if data else None
        full = Frame(data + columns) if columns else plain
        for stream in streams:
            frame = full if stream.with_spectrogram else plain
            if frame is not None:
                self._put(stream, frame)

    def _put(self, stream: Stream, frame: Frame) -> None:
        if not stream.put(frame):
            self.dropped += 1
            self._count_dropped()
