"""The pages of events."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from asd_monitor.history.records import Event
from asd_monitor.judging.actions import describe_verdict
from asd_monitor.records import State
from asd_monitor.web import parameters
from asd_monitor.web.access_store import Role
from asd_monitor.web.context import context_of, identity_of
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.routes.events_api import describe_event, event_of, find_events

LIMIT = 200
AROUND_S = 120.0
"""Time shown before and after an event."""
STATES = ("", str(State.ALARM), str(State.WARNING))


def events(request: Request) -> Response:
    """Return the list of events, newest first."""
    context, found = context_of(request), list_events(request)
    can_judge = identity_of(request).role >= Role.OPERATOR
    values = {
        "title": "Events",
        "events": found,
        "machines": context.machines,
        "chosen": {
            "machine": request.query_params.get("machine", ""),
            "state": request.query_params.get("state", ""),
            "open": request.query_params.get("open", ""),
        },
        "limit": LIMIT,
        "can_judge": can_judge,
        "waiting": sum(not (event.acknowledged or event.verdict) for event in found),
        "now": context.clock(),
    }
    return context.pages.render(request, "events.html", values)


def list_events(request: Request) -> list[Event]:
    """Return the events of the list with the parameters of a request, newest first."""
    state = parameters.choice(request, "state", STATES, "")
    return [event for event in find_events(request, LIMIT) if state in ("", event.peak_state)]


def event(request: Request) -> Response:
    """Return the page of an event."""
    context, found = context_of(request), event_of(request)
    picture = _picture_of(context.archive.evidence(found))
    values = {
        "title": f"{context.machines.get(found.machine, found.machine)}: "
        f"{found.headline or found.reason}",
        "event": found,
        "name": context.machines.get(found.machine, found.machine),
        "is_known": found.machine in context.machines,
        "files": describe_event(context, found)["files"],
        "is_relative": picture.get("relative_to_normal") is True,
        "picture_axis": picture,
        "keeps_sound": found.machine in context.rings,
        "notes": context.archive.notes(found.id),
        "bands": [asdict(band) for band in found.bands],
        "from_s": found.opened_s - AROUND_S,
        "to_s": min(_end_of(found, context.clock()) + AROUND_S, context.clock()),
        "now": context.clock(),
        "judged": describe_verdict(context.judging, found, found.verdict)
        if found.verdict
        else None,
        "asks_name": context.is_open,
    }
    return context.pages.render(request, "event.html", values)


def _end_of(event: Event, now: float) -> float:
    return now if event.closed_s is None else event.closed_s


def _picture_of(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the axes of an event's picture, and whether it has differences from normal sound."""
    picture = evidence.get("picture")
    return picture if isinstance(picture, dict) else {}


ENDPOINTS = [Endpoint("/events", events), Endpoint("/events/{event}", event)]
