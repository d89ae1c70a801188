"""The API of what people do about events and machines."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from asd_monitor.errors import AsdMonitorError, StateError
from asd_monitor.history.records import VERDICT_KINDS, NoteKind
from asd_monitor.judging import actions, proposal
from asd_monitor.judging.actions import Outcome
from asd_monitor.judging.calibration_reset import reset_calibration
from asd_monitor.judging.feedback import find_feedback
from asd_monitor.judging.store import MAX_TEXT, MAX_WHO, Author, UnknownEventError
from asd_monitor.web.access_store import Role
from asd_monitor.web.context import LOCAL_USER, WebContext, context_of, identity_of, machine_of
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.form import read_json

VIA = "page"
EVENT_KINDS = (NoteKind.ACK, *sorted(VERDICT_KINDS), NoteKind.COMMENT)
"""Notes that people may add to an event."""
MAX_MINUTES = actions.MAX_SHELF_S / 60
DEFAULT_MINUTES = 480


def author_of(request: Request, who: str = "") -> Author:
    """Return who sends a request; a name may be given only where no one has to sign in."""
    identity = identity_of(request)
    given = who.strip() if identity == LOCAL_USER else ""
    return Author(given or identity.name, VIA)


def add_event_note(
    context: WebContext, author: Author, event_id: str, kind: str, text: str
) -> Outcome:
    """Add a note to an event; raise HTTPException if it cannot be added."""
    if kind not in EVENT_KINDS:
        raise HTTPException(400, f"kind: expected one of {', '.join(EVENT_KINDS)}")
    store = context.judging
    if kind == NoteKind.ACK:
        return refuse_errors(lambda: actions.acknowledge(store, author, event_id, text))
    if kind == NoteKind.COMMENT:
        return refuse_errors(lambda: actions.comment(store, author, event_id, text))
    return refuse_errors(lambda: actions.judge(store, author, event_id, NoteKind(kind), text))


def shelve_machine(
    context: WebContext, author: Author, machine: str, minutes: float, kind: str, why: str
) -> Outcome:
    """Shelve a machine; raise HTTPException if that is not possible."""
    if kind not in actions.SHELF_KINDS:
        raise HTTPException(400, "kind: expected shelve or maintenance")
    store = context.judging
    until_s = store.clock() + 60 * minutes
    return refuse_errors(
        lambda: actions.shelve(store, author, machine, until_s, why, NoteKind(kind))
    )


def refuse_errors(action: Callable[[], Outcome]) -> Outcome:
    """Return the result of an action; its errors become HTTPException."""
    try:
        return action()
    except UnknownEventError as error:
        raise HTTPException(404) from error
    except StateError as error:
        raise HTTPException(503, str(error)) from error
    except AsdMonitorError as error:
        raise HTTPException(400, str(error)) from error


async def add_note(request: Request) -> Response:
    """Acknowledge, judge or comment on an event."""
    context, values = context_of(request), await read_json(request)
    kind, text = _text(values, "kind", 20), _text(values, "text", MAX_TEXT)
    author = author_of(request, _text(values, "who", MAX_WHO))
    event_id = request.path_params["event"]
    return _answer(
        await run_in_threadpool(add_event_note, context, author, event_id, kind, text), 201
    )


async def shelve(request: Request) -> Response:
    """Send no notifications about a machine for a time."""
    context, machine, values = context_of(request), machine_of(request), await read_json(request)
    minutes = values.get("minutes", DEFAULT_MINUTES)
    if isinstance(minutes, bool) or not isinstance(minutes, int | float):
        raise HTTPException(400, "minutes: expected a number")
    if not 0 < minutes <= MAX_MINUTES:
        raise HTTPException(400, f"minutes: expected more than 0, at most {MAX_MINUTES:g}")
    kind = _text(values, "kind", 20) or NoteKind.SHELVE
    why, author = _text(values, "why", MAX_TEXT), author_of(request, _text(values, "who", MAX_WHO))
    return _answer(
        await run_in_threadpool(shelve_machine, context, author, machine, minutes, kind, why), 201
    )


def unshelve(request: Request) -> Response:
    """Send notifications about a machine again."""
    context, machine, author = context_of(request), machine_of(request), author_of(request)
    return _answer(refuse_errors(lambda: actions.unshelve(context.judging, author, machine)))


def refit_status(request: Request) -> Response:
    """Return whether a machine is being learned again, and the proposed model."""
    return JSONResponse(describe_refit(context_of(request), machine_of(request)))


def describe_refit(context: WebContext, machine: str) -> dict[str, Any]:
    """Return whether a machine is being learned again, what is proposed, what can be undone."""
    state, problem = context.refits.status(machine)
    found = proposal.read_proposal(context.judging.root, machine)
    feedback = find_feedback(context.judging, machine)
    return {
        "state": state,
        "problem": problem,
        "recordings": list(feedback.recordings),
        "new_recordings": list(feedback.new),
        "withdrawn_recordings": list(feedback.withdrawn),
        "is_enough": feedback.is_enough,
        "can_learn": feedback.can_learn,
        "next_step": feedback.next_step,
        "proposal": None if found is None else asdict(found) | {"summary": list(found.summary)},
        "can_undo": proposal.previous_model(context.judging.root, machine).is_file(),
    }


def start_refit(request: Request) -> Response:
    """Start to learn a machine again; its model does not change."""
    context, machine = context_of(request), machine_of(request)
    context.refits.start(machine)
    return JSONResponse(describe_refit(context, machine), 202)


def accept_refit(request: Request) -> Response:
    """Use the proposed model."""
    context, machine, author = context_of(request), machine_of(request), author_of(request)
    return _answer(refuse_errors(lambda: proposal.accept(context.judging, author, machine)))


def undo_refit(request: Request) -> Response:
    """Use the model again that was replaced last."""
    context, machine, author = context_of(request), machine_of(request), author_of(request)
    return _answer(refuse_errors(lambda: proposal.undo(context.judging, author, machine)))


def discard_refit(request: Request) -> Response:
    """Delete the proposed model."""
    context, machine, author = context_of(request), machine_of(request), author_of(request)
    return _answer(refuse_errors(lambda: proposal.discard(context.judging, author, machine)))


def reset_limits(request: Request) -> Response:
    """Use the limits of the machine's model file again."""
    context, machine, author = context_of(request), machine_of(request), author_of(request)
    return _answer(refuse_errors(lambda: reset_calibration(context.judging, author, machine)))


def _text(values: dict[str, Any], name: str, max_characters: int) -> str:
    value = values.get(name, "")
    if not isinstance(value, str) or len(value) > max_characters:
        raise HTTPException(400, f"{name}: expected text of at most {max_characters} characters")
    return value


def _answer(outcome: Outcome, status: int = 200) -> Response:
    return JSONResponse({"message": outcome.message, "warning": outcome.warning}, status)


_SHELF, _REFIT = "/api/v1/machines/{machine}/shelf", "/api/v1/machines/{machine}/refit"
ENDPOINTS = [
    Endpoint("/api/v1/events/{event}/notes", add_note, Role.OPERATOR, ("POST",)),
    Endpoint(_SHELF, shelve, Role.OPERATOR, ("POST",)),
    Endpoint(_SHELF, unshelve, Role.OPERATOR, ("DELETE",)),
    Endpoint(_REFIT, refit_status),
    Endpoint(_REFIT, start_refit, Role.ADMIN, ("POST",)),
    Endpoint(_REFIT, discard_refit, Role.ADMIN, ("DELETE",)),
    Endpoint(f"{_REFIT}/accept", accept_refit, Role.ADMIN, ("POST",)),
    Endpoint(f"{_REFIT}/undo", undo_refit, Role.ADMIN, ("POST",)),
    Endpoint("/api/v1/machines/{machine}/calibration", reset_limits, Role.ADMIN, ("DELETE",)),
]
