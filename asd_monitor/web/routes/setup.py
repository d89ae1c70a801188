"""The pages on which a machine is set up, step by step."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from asd_monitor.errors import AsdMonitorError, ConfigError, SourceError
from asd_monitor.telemetry.status import MachineStatus
from asd_monitor.web.access_store import Role
from asd_monitor.web.authentication import identify
from asd_monitor.web.context import WebContext, context_of, machine_of
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.form import read_form
from asd_monitor.web.meters import INTERVAL_S, Meters
from asd_monitor.web.microphone_list import SEPARATOR, Input
from asd_monitor.web.setup import MachineDraft, Setup

STEPS = {
    "microphone": "Microphone",
    "machine": "Machine",
    "learn": "Learn",
    "notify": "Notify",
    "done": "Done",
}
"""The steps of the set-up, in order."""
MIN_MINUTES, DEFAULT_MINUTES, MAX_MINUTES = 0.3, 5.0, 7 * 24 * 60.0
KINDS = ("Pump", "Fan", "Motor", "Compressor", "Gearbox", "Conveyor", "Valve", "Machine tool")
"""Suggestions for the kind of a machine."""
MAX_METER_PAGES = 8
"""Pages that show levels at the same time; each reads them ten times a second."""
CHECK_INTERVAL_S = 15.0


def setup_of(context: WebContext) -> Setup:
    """Return what changes the monitor; raise HTTPException where pages may not."""
    if context.setup is None:
        raise HTTPException(404, "Machines cannot be set up on the page of this monitor.")
    return context.setup


def meters_of(context: WebContext) -> Meters:
    """Return the levels of the microphones; raise HTTPException where pages may not."""
    if context.meters is None:
        raise HTTPException(404, "Machines cannot be set up on the page of this monitor.")
    return context.meters


def begin(request: Request) -> Response:
    """Go to the first step."""
    setup_of(context_of(request))
    return RedirectResponse("/setup/microphone", 303)


def microphone_page(request: Request) -> Response:
    """Return the list of microphones."""
    context = context_of(request)
    again = request.query_params.get("again") == "1"
    return _render_microphones(request, context, again=again)


def _render_microphones(
    request: Request, context: WebContext, *, again: bool = False, error: str = ""
) -> Response:
    setup, inputs, problem = setup_of(context), list[Input](), ""
    try:
        inputs = meters_of(context).inputs(again=again)
    except SourceError as failure:
        problem = str(failure)
    chosen = request.query_params.get("microphone", "")
    free = [each for each in inputs if each.can_be_chosen]
    if not any(each.key == chosen for each in free):
        chosen = free[0].key if len(free) == 1 else ""
    values = {
        "inputs": inputs,
        "chosen": chosen,
        "can_continue": bool(free) and not setup.refusal,
        "problem": problem,
        "error": error or setup.refusal,
    }
    return render_step(request, "microphone", values, status=400 if error else 200)


async def meter_stream(request: Request) -> Response:
    """Return an event stream with the levels of the microphones."""
    meters = meters_of(context_of(request))
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    is_foreign = request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}
    if is_foreign or request.headers.get("origin", own) != own:
        return JSONResponse({"error": "expected a request of this page"}, 403)
    if meters.viewers >= MAX_METER_PAGES:
        reason = f"{MAX_METER_PAGES} pages show levels already; close one"
        return JSONResponse({"error": reason}, 503, {"Retry-After": "30"})
    return _MeterResponse(request, meters)


class _MeterResponse(StreamingResponse):
    """Levels, from the begin of the response to its end in whatever way."""

    def __init__(self, request: Request, meters: Meters) -> None:
        super().__init__(_read_levels(request, meters), media_type="text/event-stream")
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await run_in_threadpool(self._meters.open)
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Closing waits for capture processes, and the task may be cancelled already.
            threading.Thread(target=self._meters.close, name="close meters", daemon=True).start()


async def _read_levels(request: Request, meters: Meters) -> AsyncIterator[bytes]:
    rounds = round(CHECK_INTERVAL_S / INTERVAL_S)
    yield b"retry: 2000\n\n"
    while identify(request) is not None:
        for _ in range(rounds):
            levels = await run_in_threadpool(meters.read)
            yield b"event: levels\ndata: " + json.dumps(levels).encode() + b"\n\n"
            await asyncio.sleep(INTERVAL_S)


def machine_page(request: Request) -> Response:
    """Return the form for the name of a machine."""
    context = context_of(request)
    chosen = _find_input(context, request.query_params)
    if chosen is None:
        error = "Choose the microphone of the machine."
        return _render_microphones(request, context, error=error)
    return _render_machine(request, chosen, request.query_params)


def _render_machine(
    request: Request, chosen: Input, fields: Mapping[str, str], error: str = ""
) -> Response:
    values = {
        "input": chosen,
        "fields": {key: fields.get(key, "") for key in ("name", "kind", "place")},
        "kinds": KINDS,
        "error": error,
    }
    return render_step(request, "machine", values, status=400 if error else 200)


def learn_page(request: Request) -> Response:
    """Return what is to be learned, before it starts."""
    context, fields = context_of(request), request.query_params
    chosen = _find_input(context, fields)
    if chosen is None:
        return RedirectResponse("/setup/microphone", 303)
    try:
        setup_of(context).check(_make_draft(chosen, fields))
        id_ = setup_of(context).find_id(fields.get("name", ""))
    except ConfigError as error:
        return _render_machine(request, chosen, fields, without_place(error))
    return _render_learn(request, chosen, fields, id_)


def _render_learn(
    request: Request, chosen: Input, fields: Mapping[str, str], id_: str, error: str = ""
) -> Response:
    values = {
        "input": chosen,
        "fields": {key: fields.get(key, "") for key in ("name", "kind", "place")},
        "minutes": fields.get("minutes", f"{DEFAULT_MINUTES:g}"),
        "min_minutes": MIN_MINUTES,
        "max_minutes": MAX_MINUTES,
        "machine_id": id_,
        "back": "/setup/machine?" + urlencode(
            {"microphone": chosen.key}
            | {key: fields.get(key, "") for key in ("name", "kind", "place")}
        ),
        "error": error,
    }  # fmt: skip
    return render_step(request, "learn", values, status=400 if error else 200)


async def add_machine(request: Request) -> Response:
    """Add the machine to the running monitor, and begin to learn it."""
    form = await read_form(request)
    return await run_in_threadpool(_add_machine, request, form)


def _add_machine(request: Request, form: Mapping[str, str]) -> Response:
    context = context_of(request)
    setup = setup_of(context)
    chosen = _find_input(context, form)
    if chosen is None:
        error = "This microphone is not there any more, or is in use: choose it again."
        return _render_microphones(request, context, again=True, error=error)
    try:
        id_ = setup.find_id(form.get("name", ""))
        draft = _make_draft(chosen, form)
        meters_of(context).release()  # a card can be opened once
        id_ = setup.add_machine(draft)
        meters_of(context).release()  # if another page has opened it meanwhile
    except AsdMonitorError as error:
        name_is_wrong = isinstance(error, ConfigError) and "minutes" not in str(error)
        text = without_place(error)
        if name_is_wrong:
            return _render_machine(request, chosen, form, text)
        return _render_learn(request, chosen, form, id_, text)
    return RedirectResponse(f"/setup/learning/{id_}", 303)


def _make_draft(chosen: Input, fields: Mapping[str, str]) -> MachineDraft:
    text = fields.get("minutes", "").strip().replace(",", ".") or str(DEFAULT_MINUTES)
    try:
        minutes = float(text)
    except ValueError as error:
        raise ConfigError(f"minutes: expected a number, found {text[:20]}") from error
    if not MIN_MINUTES <= minutes <= MAX_MINUTES:
        raise ConfigError(f"minutes: expected {MIN_MINUTES:g} to {MAX_MINUTES:g}")
    return MachineDraft(
        name=fields.get("name", ""),
        device=chosen.device,
        channel=chosen.channel,
        minutes=minutes,
        kind=fields.get("kind", ""),
        place=fields.get("place", ""),
    )


def _find_input(context: WebContext, fields: Mapping[str, str]) -> Input | None:
    """Return the input that a form names, if it exists and is free."""
    key = fields.get("microphone", "")
    if SEPARATOR not in key:
        return None
    try:
        inputs = meters_of(context).inputs()
    except SourceError:
        return None
    return next((each for each in inputs if each.key == key and each.can_be_chosen), None)


def without_place(error: AsdMonitorError) -> str:
    """Return an error without the location in a document that the user does not see."""
    text = str(error).splitlines()[0].removeprefix("this page: ")
    return text[:1].upper() + text[1:]


def learning_page(request: Request) -> Response:
    """Return the progress of learning."""
    context, machine = context_of(request), machine_of(request)
    setup, status = setup_of(context), context.status().machines.get(machine, MachineStatus())
    values = {
        "machine": machine,
        "name": context.machines[machine],
        "status": status,
        "is_learning": setup.is_learning(machine),
        "is_paused": setup.is_paused(machine),
        "learned": context.find_learned(machine),
    }
    return render_step(request, "learning", values, step="learn")


async def control_learning(request: Request) -> Response:
    """Pause or continue learning."""
    machine, form = machine_of(request), await read_form(request)
    setup = setup_of(context_of(request))
    await run_in_threadpool(
        lambda: setup.pause_learning(machine, pause=form.get("action") == "pause")
    )
    return RedirectResponse(f"/setup/learning/{machine}", 303)


def done_page(request: Request) -> Response:
    """Return what happens next, and how to open the page elsewhere."""
    context, machine = context_of(request), request.query_params.get("machine", "")
    if machine not in context.machines:
        machine = ""
    link = _link(request, context)
    values = {
        "machine": machine,
        "name": context.machines.get(machine, ""),
        "is_learning": bool(machine) and setup_of(context).is_learning(machine),
        "link": link,
        "qr_code": _make_qr_code(link) if context.needs_password else None,
        "is_open": context.is_open,
        "learned": context.find_learned(machine),
    }
    return render_step(request, "done", values)


def _link(request: Request, context: WebContext) -> str:
    return context.settings.external_url or f"{request.url.scheme}://{request.headers['host']}"


def _make_qr_code(text: str) -> Any:  # noqa: ANN401 - markupsafe's Markup
    """Return a QR code as SVG without inline styles."""
    import io

    import segno
    from markupsafe import Markup

    svg = io.BytesIO()
    segno.make(text, micro=False).save(
        svg, kind="svg", xmldecl=False, svgclass="qr", lineclass="", scale=5, dark="#000",
        light="#fff",
    )  # fmt: skip
    return Markup(svg.getvalue().decode())  # noqa: S704 - made here, from a URL


def render_step(
    request: Request,
    page: str,
    values: Mapping[str, Any],
    *,
    status: int = 200,
    step: str | None = None,
) -> Response:
    """Return the page of a step; ``step`` is the current one if it is not that of the page."""
    context = context_of(request)
    common = {
        "title": "Set up a machine",
        "steps": STEPS,
        "step": page if step is None else step,
        "has_machines": bool(context.machines),
        "has_password_step": context.needs_password,
    }
    template = f"setup/{page}.html"
    return context.pages.render(request, template, common | dict(values), status=status)


ENDPOINTS = [
    Endpoint("/setup", begin, role=Role.ADMIN),
    Endpoint("/setup/microphone", microphone_page, role=Role.ADMIN),
    Endpoint("/setup/meters", meter_stream, role=Role.ADMIN),
    Endpoint("/setup/machine", machine_page, role=Role.ADMIN),
    Endpoint("/setup/learn", learn_page, role=Role.ADMIN),
    Endpoint("/setup/learn", add_machine, role=Role.ADMIN, methods=("POST",)),
    Endpoint("/setup/learning/{machine}", learning_page, role=Role.ADMIN),
    Endpoint("/setup/learning/{machine}", control_learning, role=Role.ADMIN, methods=("POST",)),
    Endpoint("/setup/done", done_page, role=Role.ADMIN),
]
