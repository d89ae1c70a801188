"""The series of the history."""

from math import nan
from typing import Literal

from prometheus_client import Counter

from asd_monitor.telemetry.series_factory import SeriesFactory

HistoryCount = Literal["written", "dropped", "set_aside"]


class HistorySeries:
    """Records written, and the state of the database.

    Parameters
    ----------
    factory
        Makes the series.
    dropped
        Counts the records that were dropped.
    """

    def __init__(self, factory: SeriesFactory, dropped: Counter) -> None:
        self._dropped = dropped
        self.writing = factory.gauge(
            "asd_history_writing",
            "1 while the history is written, 0 while it cannot be, NaN if it is off.",
        )
        self.size = factory.gauge(
            "asd_history_size_bytes", "Size of the history's database; NaN if it is off."
        )
        self.scores = factory.counter("asd_history_scores_total", "Scores written to the history.")
        self.set_aside = factory.counter(
            "asd_history_set_aside_total", "Damaged databases of the history that were set aside."
        )
        self.writing.set(nan)
        self.size.set(nan)

    def count(self, kind: HistoryCount, number: int) -> None:
        """Count records of the history that were written or dropped, or files set aside."""
        counters = {
            "written": self.scores,
            "dropped": self._dropped,
            "set_aside": self.set_aside,
        }
        counters[kind].inc(number)
