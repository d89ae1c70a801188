"""What the cards of the overview show of the history, kept until it changes."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from asd_monitor.web.archive import Archive
from asd_monitor.web.state_times import StateTime
from asd_monitor.web.strip import Strip, make_strip

STRIP_S = 24 * 3600.0
KEPT_S = 60.0
"""A strip of a day moves by less than a pixel in this time."""
WRITTEN_S = 2.5
"""A change of state is in the history after this time."""
RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class CardHistory:
    """The last 24 hours of a machine."""

    strip: Markup
    """Its states as HTML; empty if none is known."""
    event_headline: str
    """Of its open event; empty if there is none, or nothing was found yet."""
    read_at: float

    def is_current(self, changed_at: float, now: float) -> bool:
        """Return whether it need not be read again; both on a clock that never jumps."""
        is_settled = self.read_at - changed_at >= WRITTEN_S
        kept_s = KEPT_S if is_settled else RETRY_S
        return self.read_at >= changed_at and now - self.read_at < kept_s


class CardHistories:
    """Read the history of machines, and keep it while the machines do not change.

    Parameters
    ----------
    archive
        The history.
    render
        Returns the HTML of a strip.
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(
        self,
        archive: Archive,
        render: Callable[[Strip], Markup],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._archive = archive
        self._render = render
        self._monotonic = monotonic
        self._lock = threading.Lock()  # so that two requests do not read the same
        self._known: dict[str, CardHistory] = {}

    def of(self, machine: str, state: StateTime, now_s: float) -> CardHistory:
        """Return the history of a machine.

        Parameters
        ----------
        machine
            Its id.
        state
            Its present state.
        now_s
            The end of the strip, in seconds since the epoch.
        """
        with self._lock:
            known, now = self._known.get(machine), self._monotonic()
            if known is None or not known.is_current(state.changed_at, now):
                known = self._known[machine] = self._read(machine, state, now_s)
            return known

    def _read(self, machine: str, state: StateTime, now_s: float) -> CardHistory:
        read_at, archive = self._monotonic(), self._archive
        spans = archive.spans(machine, now_s - STRIP_S, now_s) if archive.exists else []
        event = archive.event(state.event_id) if state.event_id else None
        strip = self._render(make_strip(spans, now_s - STRIP_S, now_s)) if spans else Markup()
        return CardHistory(strip, event.headline if event is not None else "", read_at)
