"""Keep the database of an outbox small, synchronised and in order."""

from collections.abc import Callable

from asd_monitor.outbox.report import OutboxReport
from asd_monitor.outbox.settings import OutboxSettings
from asd_monitor.outbox.store import OutboxStore

DURABLE_INTERVAL_S = 5.0
"""Scores survive a power cut after this time at most, events at once."""
INTERVAL_S = 1.0
CHECKPOINT_INTERVAL_S = 30.0


class Upkeep:
    """What is done about once a second, by the thread that owns the database.

    Parameters
    ----------
    settings
        How much is kept.
    report
        Receives what is dropped.
    clock
        Seconds since the epoch.
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(
        self,
        settings: OutboxSettings,
        report: OutboxReport,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.size_bytes = 0
        """Size of the database."""
        self.oldest_ms: int | None = None
        """When the oldest waiting message was stored."""
        self.resend_from_s = float("-inf")
        """Monotonic time from which on requests to send again are worked through."""
        self._settings = settings
        self._report = report
        self._clock = clock
        self._monotonic = monotonic
        self._durable_at_s = self._done_at_s = self._checkpoint_at_s = float("-inf")
        self._unsynchronised = False

    def note_written(self, *, durable: bool) -> None:
        """Note that messages were committed; ``durable``: they must be synchronised at once."""
        self._unsynchronised = True
        if durable:
            self._durable_at_s = float("-inf")

    def run(
        self, store: OutboxStore, handed: Callable[[], set[int]], lanes_changed: Callable[[], None]
    ) -> bool:
        """Do what is due; return whether more is to be done at once.

        Parameters
        ----------
        store
            The tables.
        handed
            Returns the messages that are being sent.
        lanes_changed
            Called when messages are to be sent again.

        Raises
        ------
        sqlite3.Error, OSError
            If something could not be written.
        """
        synchroniser = store.synchroniser
        assert synchroniser is not None  # noqa: S101 - the database is written
        synchroniser.raise_error()
        now_s = self._monotonic()
        if self._unsynchronised and now_s - self._durable_at_s >= DURABLE_INTERVAL_S:
            synchroniser.synchronise()
            self._durable_at_s, self._unsynchronised = now_s, False
        if now_s - self._done_at_s < INTERVAL_S:
            return False
        busy = self._remove_old(store, handed)
        if now_s >= self.resend_from_s and store.resends.step():
            busy = True
            lanes_changed()
        if now_s - self._checkpoint_at_s >= CHECKPOINT_INTERVAL_S:
            self._checkpoint_at_s = now_s
            store.tidy()
            synchroniser.checkpoint()
        elif synchroniser.take_rest():
            store.checkpoint()
        self.oldest_ms = store.oldest_waiting_ms()
        if not busy:
            self._done_at_s = now_s
        return busy

    def _remove_old(self, store: OutboxStore, handed: Callable[[], set[int]]) -> bool:
        before_ms = round(1000 * self._clock() - 3_600_000 * self._settings.replay_hours)
        busy = store.expire(before_ms) > 0
        self.size_bytes = store.size_bytes()
        if self.size_bytes > 1e6 * self._settings.max_mb:
            removed, dropped = store.trim(handed())
            if dropped:
                self._report.dropped("full", dropped, 0)
            busy = busy or removed
        return busy
