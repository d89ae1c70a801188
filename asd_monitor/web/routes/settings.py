"""The page of the settings: what is in effect, from where, and what pages may change."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from asd_monitor.errors import AsdMonitorError, ConfigError
from asd_monitor.web.access_store import Role
from asd_monitor.web.context import context_of
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.form import read_form
from asd_monitor.web.routes.setup import setup_of, without_place
from asd_monitor.web.setup import Setup

KEPT = {
    "evidence": ("keep", "max_clips", "max_gb"),
    "history": ("scores_days", "minutes_days"),
}
"""Keys of what is kept of events and scores, by section."""
LABELS = {
    "evidence.keep": "Of each event",
    "evidence.max_clips": "Events of each machine",
    "evidence.max_gb": "Space for all events, in GB",
    "history.scores_days": "Days of single scores",
    "history.minutes_days": "Days of trends",
}
"""What people read instead of a key."""
CHOICE_WORDS = {"clip": "sound and picture", "picture": "picture only", "none": "nothing"}
HELPS = {
    "evidence.keep": "Picture only: where voices must not be recorded. Nothing: no live "
    "spectrogram either."
}
"""Explanations instead of those of the configuration file."""
ORIGINS = {"file": "configuration", "options": "command line", "page": "this page", "default": ""}


def settings_page(request: Request) -> Response:
    """Return the settings."""
    return _render(request)


async def change(request: Request) -> Response:
    """Save a part of the settings."""
    return await run_in_threadpool(_change, request, await read_form(request))


def _change(request: Request, form: Mapping[str, str]) -> Response:
    setup, part = setup_of(context_of(request)), request.path_params["part"]
    if part not in PARTS:
        raise HTTPException(404)
    try:
        PARTS[part](setup, form)
    except AsdMonitorError as error:
        return _render(request, error=without_place(error), part=part)
    return RedirectResponse(f"/settings?saved={part}", 303)


def _change_machine(setup: Setup, form: Mapping[str, str]) -> None:
    machine = form.get("machine", "")
    if form.get("action") == "remove":
        if "confirm" not in form:
            raise ConfigError("Confirm that the machine is to be removed.")
        setup.remove_machine(machine)
        return
    setup.change_machine(
        machine,
        name=form.get("name", ""),
        kind=form.get("kind", ""),
        place=form.get("place", ""),
    )


def _change_sensitivity(setup: Setup, form: Mapping[str, str]) -> None:
    if word := form.get("sensitivity"):
        setup.save_sensitivity(word)


def _change_alarm(setup: Setup, form: Mapping[str, str]) -> None:
    setup.save_fields("alarm", form)


def _change_kept(setup: Setup, form: Mapping[str, str]) -> None:
    fixed = setup.fixed_sections()
    for section, keys in KEPT.items():
        if section not in fixed:
            prefix = f"{section}."
            setup.save_fields(
                section,
                {key: form[prefix + key] for key in keys if prefix + key in form},
            )


PARTS: dict[str, Callable[[Setup, Mapping[str, str]], None]] = {
    "machine": _change_machine,
    "sensitivity": _change_sensitivity,
    "alarm": _change_alarm,
    "kept": _change_kept,
}
"""What a form of the page changes, by the end of its path."""


def _render(request: Request, *, error: str = "", part: str = "") -> Response:
    context = context_of(request)
    setup = setup_of(context)
    values: dict[str, Any] = {
        "title": "Settings",
        "machines": setup.machines(),
        "running": context.machines,
        "opened": request.query_params.get("machine", ""),
        "refusal": setup.refusal,
        "fixed": setup.fixed_sections(),
        "recipients": setup.recipients(),
        "mqtt": setup.section("mqtt"),
        "sensitivity": setup.sensitivity(),
        "words": setup.sensitivities(),
        "advanced": setup.fields("alarm"),
        "kept": {section: setup.fields(section, keys) for section, keys in KEPT.items()},
        "labels": LABELS,
        "choice_words": CHOICE_WORDS,
        "helps": HELPS,
        "rows": setup.describe(),
        "origins": ORIGINS,
        "needs_restart": setup.needs_restart,
        "saved": request.query_params.get("saved", "") in PARTS and not error,
        "error": error,
        "part": part,
    }
    return context.pages.render(request, "settings.html", values, status=400 if error else 200)


ENDPOINTS = [
    Endpoint("/settings", settings_page, role=Role.ADMIN),
    Endpoint("/settings/{part}", change, role=Role.ADMIN, methods=("POST",)),
]
