"""The overview of all machines."""

from starlette.requests import Request
from starlette.responses import Response

from asd_monitor.web.context import context_of
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.machine_card import make_cards


def overview(request: Request) -> Response:
    """Return the page with one card per machine, the most urgent first."""
    context = context_of(request)
    values = {"title": "Machines", "cards": make_cards(context)}
    return context.pages.render(request, "overview.html", values)


def machine_cards(request: Request) -> Response:
    """Return only the cards, to refresh the overview."""
    context = context_of(request)
    return context.pages.render(request, "_cards.html", {"cards": make_cards(context)})


ENDPOINTS = [
    Endpoint("/", overview),
    Endpoint("/fragments/machines", machine_cards),
]
