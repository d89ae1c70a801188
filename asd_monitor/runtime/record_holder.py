"""Keep records while a sink is exchanged."""

from collections import deque

from asd_monitor.records import Record

MAX_HELD = 100_000
"""Records kept while a sink is exchanged, which takes a few seconds at most."""


class RecordHolder:
    """A sink that keeps records for the one that is opened next.

    Parameters
    ----------
    with_states
        Whether it first receives the present state of every machine.
    """

    def __init__(self, *, with_states: bool) -> None:
        self.with_states = with_states
        self.records: deque[Record] = deque(maxlen=MAX_HELD)

    def open(self) -> None:
        """Do nothing."""

    def emit(self, record: Record) -> None:
        """Keep a record."""
        self.records.append(record)

    def close(self) -> None:
        """Do nothing."""
