"""What the pages show of a machine at one moment."""

from dataclasses import dataclass, replace

from markupsafe import Markup

from asd_monitor.records import ScoredWindow, State
from asd_monitor.telemetry.status import MachineStatus
from asd_monitor.web.context import WebContext
from asd_monitor.web.formats import URGENCY
from asd_monitor.web.gauge import Gauge, make_gauge


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
    strip: Markup
    """Its states of the last 24 hours; empty if they are not shown."""

    @property
    def state(self) -> State:
        """The present state."""
        return self.status.state


def make_cards(context: WebContext) -> list[MachineCard]:
    """Return the cards of all machines, the most urgent first, then in order of the settings."""
    status, now = context.status(), context.clock()
    cards = []
    for id_, name in context.machines.items():
        card = make_card(context, id_, name, status.machines.get(id_, MachineStatus()))
        past = context.card_histories.of(id_, context.times.of(id_), now)
        cards.append(replace(card, strip=past.strip, event_headline=past.event_headline))
    return sorted(cards, key=lambda card: URGENCY[card.state])


def make_card(context: WebContext, id_: str, name: str, status: MachineStatus) -> MachineCard:
    """Return the card of a machine without its history."""
    window = status.window if status.is_current else None
    normal_range = None if window is None else window.decision.normal_range
    gauge = None
    if window is not None:
        gauge = make_gauge(window.score.value, normal_range, window.score.threshold)
    time = context.times.of(id_)
    return MachineCard(
        id=id_,
        name=name,
        status=status,
        since_s=time.since_s,
        event_id=time.event_id,
        event_headline="",
        window=window,
        normal_range=normal_range,
        gauge=gauge,
        strip=Markup(),
    )
