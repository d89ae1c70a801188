"""Pass scores and changes of state to the history."""

from typing import Self

from asd_monitor.history.settings import HistorySettings
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.records import Record, ScoredWindow, Transition
from asd_monitor.sinks.context import SinkContext

QUEUE = "history"


class HistorySink:
    """A sink that passes records to the thread that writes the history.

    The monitor owns the writer and closes it after all sinks, because other sinks add to the
    history until they are closed.

    Parameters
    ----------
    writer
        The history.
    """

    def __init__(self, writer: HistoryWriter) -> None:
        self._writer = writer

    @classmethod
    def build(cls, settings: HistorySettings, context: SinkContext) -> Self:
        """Build the sink of a monitor, whose writer has been made from the settings."""
        writer, metrics = context.history, context.metrics
        assert writer is not None  # noqa: S101 - made wherever the section is on
        metrics.queue_depth.labels(QUEUE).set_function(writer.queue_depth)
        metrics.history.writing.set_function(lambda: float(writer.is_writing))
        metrics.history.size.set_function(writer.size_bytes)
        return cls(writer)

    def open(self) -> None:
        """Open the database; one that cannot be opened is tried again later."""
        self._writer.open()

    def emit(self, record: Record) -> None:
        """Pass a score or a change of state to the writer; returns at once."""
        if isinstance(record, ScoredWindow | Transition):
            self._writer.record(record)

    def close(self) -> None:
        """Write what is queued; may be called twice."""
        self._writer.flush()
