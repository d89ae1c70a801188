"""Where results go. One sink per file; each meets :class:`Sink`."""

from typing import Protocol

from asd_monitor.records import Record


class Sink(Protocol):
    """Receive results. Called from the inference thread, so ``emit`` must never block.

    A sink that talks to a network or a disk owns a thread and a bounded queue; what does
    not fit is dropped and counted.
    """

    def open(self) -> None:
        """Start the sink's thread or server; raises SinkError only for a mistake in settings."""

    def emit(self, record: Record) -> None:
        """Take a record; returns at once, whatever the far end does."""

    def close(self) -> None:
        """Hand over what can still be handed over within a few seconds; may be called twice."""
