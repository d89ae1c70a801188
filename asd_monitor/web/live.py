"""Live data for open pages: a record becomes one frame for all pages that receive it."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio.to_thread

from asd_monitor.normal_sound.band_levels import MIN_FREQUENCY_HZ
from asd_monitor.records import (
    CalibrationStatus,
    EvidenceReady,
    LearningProgress,
    MachineAlarm,
    MachineRemoved,
    Record,
    ScoredWindow,
    SourceHealth,
    Transition,
)
from asd_monitor.web import machine_state
from asd_monitor.web.spectrum import COLUMNS_PER_S, ColumnReader, Columns, Rings
from asd_monitor.web.stream import KEEP_ALIVE_S, Connection, Frame, Stream

MAX_STREAMS = 32
SCORE_INTERVAL_S = 0.9
"""Scores of a machine are sent at most this often."""
COLLECT_S = 1.0
"""To a page of all machines, their scores of this time are sent together."""
PAST_COLUMNS = 60 * COLUMNS_PER_S
"""Columns of the time before a page was opened that it receives at first."""


class LiveHub:
    """Turn records into messages for the pages that are open.

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
        self._streams: set[Stream] = set()
        self._scored_at: dict[str, float] = {}
        self._scores: dict[str, dict[str, Any]] = {}
        """The newest scores, for pages of all machines."""
        self._readers: dict[str, ColumnReader] = {}
        """Of the machines whose spectrogram is shown."""

    def emit(self, record: Record) -> None:
        """Send a record to the open pages; from any thread, returns at once."""
        if self._streams:
            self._call(self._publish, record)

    def open(
        self, machine: str | None, with_spectrogram: bool, connection: Connection | None = None
    ) -> Stream | None:
        """Return a new stream, which the caller must close; None if there are too many."""
        if len(self._streams) >= MAX_STREAMS:
            return None
        stream = Stream(machine, with_spectrogram, connection)
        self._streams.add(stream)
        if machine is not None and with_spectrogram and machine in self._rings:
            self._readers.setdefault(machine, ColumnReader(self._rings[machine]))
        return stream

    def close(self, stream: Stream) -> None:
        """Forget a stream."""
        self._streams.discard(stream)

    async def messages(
        self, stream: Stream, hello: dict[str, Any], may_continue: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """Yield the messages of a stream until the viewer may not see them any more.

        Parameters
        ----------
        stream
            The stream.
        hello
            The full state, with which it begins.
        may_continue
            Returns whether the viewer is still signed in; asked every 15 s.
        """
        yield b"retry: 3000\n" + encode("hello", hello)
        ring = self._rings.get(stream.machine or "")
        if ring is not None and stream.with_spectrogram:
            past = await anyio.to_thread.run_sync(ColumnReader(ring, PAST_COLUMNS).read)
            if past is not None:
                yield encode("columns", self._describe_columns(stream.machine, past, is_past=True))
        checked_at = self._monotonic()
        while True:
            yield await stream.get()
            if self._monotonic() - checked_at >= KEEP_ALIVE_S:
                checked_at = self._monotonic()
                if not may_continue():
                    return

    def _publish(self, record: Record) -> None:
        machine = record.machine
        name, data = self._describe(record)
        message = b"" if data is None else encode(name, data)
        columns = self._read_columns(machine)
        if data is not None and name == "score":
            self._collect_score(machine, data)
        elif message:
            self._send(None, Frame(message), with_spectrogram=False)
        if message:
            self._send(machine, Frame(message), with_spectrogram=False)
        if message or columns:
            self._send(machine, Frame(message + columns), with_spectrogram=True)

    def _collect_score(self, machine: str, data: dict[str, Any]) -> None:
        """Send a score to the pages of all machines, soon and together with others."""
        if not any(stream.machine is None for stream in self._streams):
            return
        if not self._scores:
            asyncio.get_running_loop().call_later(COLLECT_S, self._send_scores)
        self._scores[machine] = data

    def _send_scores(self) -> None:
        scores, self._scores = self._scores, {}
        self._send(None, Frame(encode("scores", {"scores": list(scores.values())})))

    def _describe(self, record: Record) -> tuple[str, dict[str, Any] | None]:
        match record:
            case ScoredWindow():
                now = self._monotonic()
                if now - self._scored_at.get(record.machine, float("-inf")) < SCORE_INTERVAL_S:
                    return "score", None
                self._scored_at[record.machine] = now
                return "score", machine_state.describe_score(record)
            case Transition():
                return "state", machine_state.describe_transition(record)
            case SourceHealth():
                return "health", machine_state.describe_sound(record)
            case LearningProgress():
                return "learning", machine_state.describe_learning(record)
            case EvidenceReady():
                return "event", machine_state.describe_evidence(record)
            case MachineAlarm():
                return "alarm", machine_state.describe_alarm(record)
            case CalibrationStatus():
                return "calibration", None  # changes slowly: a page shows it when it is loaded
            case MachineRemoved():
                self._scored_at.pop(record.machine, None)
                self._readers.pop(record.machine, None)
                return "removed", {"machine": record.machine}

    def _send(self, machine: str | None, frame: Frame, *, with_spectrogram: bool = False) -> None:
        """Send a frame to the pages of a machine, or to those of all machines."""
        for stream in self._streams:
            if (stream.machine, stream.with_spectrogram) != (machine, with_spectrogram):
                continue
            if not stream.put(frame):
                self.dropped += 1
                self._count_dropped()

    def _read_columns(self, machine: str) -> bytes:
        """Return the new columns of a machine's spectrogram, while a page shows it.

        Called with its records: its sound arrives when a window is complete.
        """
        reader = self._readers.get(machine)
        if reader is None:
            return b""
        if not any(one.machine == machine and one.with_spectrogram for one in self._streams):
            del self._readers[machine]
            return b""
        columns = reader.read()
        if columns is None:
            return b""
        return encode("columns", self._describe_columns(machine, columns))

    @staticmethod
    def _describe_columns(
        machine: str | None, columns: Columns, *, is_past: bool = False
    ) -> dict[str, Any]:
        return {
            "machine": machine,
            "is_past": is_past,
            "columns_per_s": COLUMNS_PER_S,
            "low_hz": MIN_FREQUENCY_HZ,
            "high_hz": columns.sample_rate_hz / 2,
            "data": base64.b64encode(columns.values.tobytes()).decode(),
        }


def encode(name: str, data: dict[str, Any]) -> bytes:
    """Return a message of an event stream."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return f"event: {name}\ndata: {text}\n\n".encode()
