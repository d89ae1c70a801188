"""The forms with which people acknowledge, judge and shelve, without JavaScript."""

from collections.abc import Mapping
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from asd_monitor.history.records import NoteKind
from asd_monitor.judging import actions, mode_names, proposal
from asd_monitor.judging.calibration_reset import reset_calibration
from asd_monitor.web.access_store import Role
from asd_monitor.web.context import context_of, machine_of
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.form import read_form
from asd_monitor.web.routes.events import list_events
from asd_monitor.web.routes.judging_api import (
    MAX_MINUTES,
    add_event_note,
    author_of,
    describe_refit,
    refuse_errors,
    shelve_machine,
)

DONE = {
    "accept": "The new model is used from now on, without a gap in monitoring.",
    "discard": "The new model was deleted. The present one remains in use.",
    "undo": "The earlier model is used again, without a gap in monitoring.",
}
"""What the page of a refit says after an action."""


async def add_note(request: Request) -> Response:
    """Acknowledge, judge or comment on an event, and return to its page."""
    context, form = context_of(request), await read_form(request)
    event_id, author = request.path_params["event"], author_of(request, form.get("who", ""))
    kind, text = form.get("kind", ""), form.get("text", "")
    await run_in_threadpool(add_event_note, context, author, event_id, kind, text)
    return RedirectResponse(f"/events/{quote(event_id)}#judging", 303)


async def acknowledge(request: Request) -> Response:
    """Acknowledge the chosen events of the list, or all that it shows, and return to it."""
    form = await read_form(request)
    await run_in_threadpool(_acknowledge, request, form)
    query = request.url.query
    return RedirectResponse(f"/events?{query}" if query else "/events", 303)


def _acknowledge(request: Request, form: Mapping[str, str]) -> None:
    context, author = context_of(request), author_of(request)
    try:
        seen_s = float(form.get("seen_s", ""))
    except ValueError as error:
        raise HTTPException(400, "seen_s: expected seconds since 1970") from error
    for event in list_events(request):
        is_chosen = form.get("which") == "all" or f"event-{event.id}" in form
        # An event that began after the list was loaded has not been seen.
        if is_chosen and event.opened_s <= seen_s and not (event.acknowledged or event.verdict):
            add_event_note(context, author, event.id, NoteKind.ACK, "")


async def shelve(request: Request) -> Response:
    """Shelve a machine or end that, and return to its page."""
    context, machine, form = context_of(request), machine_of(request), await read_form(request)
    author = author_of(request, form.get("who", ""))
    if form.get("action") == "end":
        await run_in_threadpool(
            refuse_errors, lambda: actions.unshelve(context.judging, author, machine)
        )
    else:
        minutes = _minutes(form.get("minutes", ""))
        kind, why = form.get("kind", ""), form.get("why", "")
        await run_in_threadpool(shelve_machine, context, author, machine, minutes, kind, why)
    return RedirectResponse(f"/m/{quote(machine)}#silence", 303)


def refit_page(request: Request) -> Response:
    """Return the page on which a machine is learned again."""
    context, machine = context_of(request), machine_of(request)
    values = {
        "title": f"{context.machines[machine]}: learn from false alarms",
        "machine": machine,
        "name": context.machines[machine],
        "refit": describe_refit(context, machine),
        "done": DONE.get(request.query_params.get("done", ""), ""),
    }
    return context.pages.render(request, "refit.html", values)


async def refit(request: Request) -> Response:
    """Start to learn a machine again, or accept, discard or undo that."""
    context, machine, form = context_of(request), machine_of(request), await read_form(request)
    store, author = context.judging, author_of(request, form.get("who", ""))
    choices = {
        "accept": lambda: proposal.accept(store, author, machine),
        "discard": lambda: proposal.discard(store, author, machine),
        "undo": lambda: proposal.undo(store, author, machine),
    }
    action = form.get("action", "")
    if action == "start":
        await run_in_threadpool(context.refits.start, machine)
    elif action in choices:
        await run_in_threadpool(refuse_errors, choices[action])
    else:
        raise HTTPException(400, f"action: expected start, {', '.join(choices)}")
    done = f"?done={action}" if action in DONE else ""
    return RedirectResponse(f"/m/{quote(machine)}/refit{done}", 303)


async def name_mode(request: Request) -> Response:
    """Give a mode of a machine another name, and return to its page."""
    context, machine, form = context_of(request), machine_of(request), await read_form(request)
    store, author = context.judging, author_of(request, form.get("who", ""))
    old, new = form.get("old", ""), form.get("new", "")
    await run_in_threadpool(
        refuse_errors, lambda: mode_names.rename(store, author, machine, old, new)
    )
    return RedirectResponse(f"/m/{quote(machine)}", 303)


async def reset_limits(request: Request) -> Response:
    """Go back to the limits of a machine's model file, and return to its page."""
    context, machine, form = context_of(request), machine_of(request), await read_form(request)
    store, author = context.judging, author_of(request, form.get("who", ""))
    await run_in_threadpool(refuse_errors, lambda: reset_calibration(store, author, machine))
    return RedirectResponse(f"/m/{quote(machine)}?limits=reset#learned", 303)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0 < minutes <= MAX_MINUTES:
        raise HTTPException(400, "minutes: expected a number of minutes, at most a year")
    return minutes


ENDPOINTS = [
    Endpoint("/events/acknowledge", acknowledge, Role.OPERATOR, ("POST",)),
    Endpoint("/events/{event}/notes", add_note, Role.OPERATOR, ("POST",)),
    Endpoint("/m/{machine}/shelf", shelve, Role.OPERATOR, ("POST",)),
    Endpoint("/m/{machine}/mode", name_mode, Role.OPERATOR, ("POST",)),
    Endpoint("/m/{machine}/calibration", reset_limits, Role.ADMIN, ("POST",)),
    Endpoint("/m/{machine}/refit", refit_page),
    Endpoint("/m/{machine}/refit", refit, Role.ADMIN, ("POST",)),
]
