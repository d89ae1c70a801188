"""The API of events: lists, evidence, files."""

from dataclasses import asdict
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from asd_monitor.history.records import Event
from asd_monitor.web import archive, parameters
from asd_monitor.web.context import WebContext, context_of
from asd_monitor.web.endpoint import Endpoint

MAX_EVENTS = 500
OPEN = {"": None, "yes": True, "no": False}
"""Values of the parameter ``open``."""
FILE_CACHE = "private, max-age=3600"


def events(request: Request) -> Response:
    """Return events, newest first."""
    context = context_of(request)
    limit = int(parameters.number(request, "limit", 100, 1, MAX_EVENTS))
    found = find_events(request, limit)
    return JSONResponse({"events": [describe_event(context, event) for event in found]})


def find_events(request: Request, limit: int) -> list[Event]:
    """Return the events that the parameters of a request ask for, newest first."""
    context = context_of(request)
    machine = request.query_params.get("machine") or None
    if machine is not None and machine not in context.machines:
        raise HTTPException(400, "machine: expected the id of a machine")
    is_open = OPEN[parameters.choice(request, "open", tuple(OPEN), "")]
    from_s = parameters.moment(request, "from", 0)
    to_s = parameters.moment(request, "to", 1e11)
    found = context.archive.events(machine, is_open=is_open, from_s=from_s, to_s=to_s, limit=limit)
    return list(found)


def event_of(request: Request) -> Event:
    """Return the event that a path names; raise HTTPException if the database has none."""
    event = context_of(request).archive.event(request.path_params["event"])
    if event is None:
        raise HTTPException(404)
    return event


def event(request: Request) -> Response:
    """Return an event with its notes and what was measured."""
    context, found = context_of(request), event_of(request)
    notes = [asdict(note) for note in context.archive.notes(found.id)]
    evidence = context.archive.evidence(found)
    return JSONResponse(describe_event(context, found) | {"notes": notes, "evidence": evidence})


def describe_event(context: WebContext, event: Event) -> dict[str, Any]:
    """Return an event for the API, with the URLs of its files that exist."""
    names = {
        "clip": archive.CLIP,
        "picture": archive.PICTURE,
        "nearest_clip": archive.NEAREST_CLIP,
        "nearest_picture": archive.NEAREST_PICTURE,
    }
    files = {
        key: f"/api/v1/events/{event.id}/{name}"
        for key, name in names.items()
        if context.archive.file(event, name) is not None
    }
    return asdict(event) | {"url": f"/events/{event.id}", "files": files}


def file(request: Request) -> Response:
    """Return a file of an event; supports ranges, so that a player can seek."""
    found, name = event_of(request), request.path_params["file"]
    path = context_of(request).archive.file(found, name)
    if path is None:
        raise HTTPException(404)
    is_sound = path.suffix == ".flac"
    download = f"{found.id}-{name}" if request.query_params.get("download") else None
    return FileResponse(
        path,
        media_type="audio/flac" if is_sound else "image/png",
        filename=download,
        headers={"Cache-Control": FILE_CACHE},
    )


ENDPOINTS = [
    Endpoint("/api/v1/events", events),
    Endpoint("/api/v1/events/{event}", event),
    Endpoint("/api/v1/events/{event}/{file}", file),
]
