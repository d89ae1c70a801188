"""What the pages show of a machine at one moment."""

from dataclasses import dataclass, replace

from asd_monitor.records import ScoredWindow, State
from asd_monitor.telemetry.status import MachineStatus
from asd_monitor.web.context import WebContext
from asd_monitor.web.formats import URGENCY
from asd_monitor.web.gauge import Gauge, make_gauge
from asd_monitor.web.strip import Strip, make_strip

STRIP_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class MachineCard:
    """One machine."""

    id: str
    name: str
    status: MachineStatus
    since_s: float | None
    event_id: str
    event_headline: str
    window: ScoredWindow | None
    """The newest window, if it describes the present sound."""
    normal_range: float | None
    gauge: Gauge | None
    strip: Strip | None

    @property
    def state(self) -> State:
        """The present state."""
        return self.status.state


def make_cards(context: WebContext) -> list[MachineCard]:
    """Return the cards of all machines, the most urgent first, then in order of the settings."""
    status, now = context.status(), context.clock()
    overview = context.archive.overview(now - STRIP_S, now)
    cards = []
    for id_ in context.machines:
        stored = overview.get(id_)
        card = make_card(context, id_, status.machines.get(id_, MachineStatus()))
        if stored is not None:
            event = stored.open_event
            card = _with_history(
                card,
                make_strip(stored.spans, now - STRIP_S, now),
                event.headline if event is not None else "",
            )
        cards.append(card)
    return sorted(cards, key=lambda card: URGENCY[card.state])


def make_card(context: WebContext, id_: str, status: MachineStatus) -> MachineCard:
    """Return the card of a machine without its history."""
    window = status.window if status.is_current else None
    normal_range = None if window is None else window.decision.normal_range
    gauge = None
    if window is not None:
        gauge = make_gauge(window.score.value, normal_range, window.score.threshold)
    time = context.times.of(id_)
    return MachineCard(
        id=id_,
        name=context.machines[id_],
        status=status,
        since_s=time.since_s,
        event_id=time.event_id,
        event_headline="",
        window=window,
        normal_range=normal_range,
        gauge=gauge,
        strip=None,
    )


def _with_history(card: MachineCard, strip: Strip, headline: str) -> MachineCard:
    return replace(card, strip=strip, event_headline=headline)
