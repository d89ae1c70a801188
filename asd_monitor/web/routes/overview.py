"""The overview of all machines."""

from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from asd_monitor.records import State
from asd_monitor.web.context import WebContext, context_of
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.machine_card import MachineCard, make_cards

COUNT_WORDS = {
    State.ALARM: "in alarm",
    State.WARNING: "with a warning",
    State.UNKNOWN: "unknown",
    State.LEARNING: "learning",
    State.NORMAL: "normal",
    State.OFF: "off",
}


def overview(request: Request) -> Response:
    """Return the page with one card per machine, the most urgent first."""
    context = context_of(request)
    if not context.machines and context.setup is not None:
        return RedirectResponse("/setup", 303)
    return context.pages.render(request, "overview.html", _describe(context))


def machine_cards(request: Request) -> Response:
    """Return only the cards, to refresh the overview."""
    context = context_of(request)
    return context.pages.render(request, "_cards.html", _describe(context))


def _describe(context: WebContext) -> dict[str, Any]:
    cards = make_cards(context)
    return {
        "title": "Machines",
        "cards": cards,
        "summary": _summarise(cards),
        "is_alive": context.status().is_alive,
        "now": context.clock(),
    }


def _summarise(cards: list[MachineCard]) -> str:
    counts = Counter(card.state for card in cards)
    return ", ".join(
        f"{counts[state]} {word}" for state, word in COUNT_WORDS.items() if state in counts
    )


ENDPOINTS = [
    Endpoint("/", overview),
    Endpoint("/fragments/machines", machine_cards),
]
