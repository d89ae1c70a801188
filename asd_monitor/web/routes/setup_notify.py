"""The step of the set-up at which people choose where results are sent."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from asd_monitor.errors import AsdMonitorError
from asd_monitor.web.access_store import Role
from asd_monitor.web.context import context_of
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.form import read_form
from asd_monitor.web.routes.setup import render_step, setup_of, without_place
from asd_monitor.web.setup import CheckStep

DEFAULT_PORT, TLS_PORT = 1883, 8883
STEP_WORDS = {
    "dns": "Name",
    "tcp": "Connection",
    "tls": "Encryption",
    "login": "Login",
    "publish": "Messages",
}


def notify_page(request: Request) -> Response:
    """Return the form with the broker that is saved."""
    setup = setup_of(context_of(request))
    mqtt = setup.section("mqtt")
    fields = {
        "host": str(mqtt.get("host", "")),
        "port": str(mqtt.get("port", DEFAULT_PORT)),
        "username": str(mqtt.get("username") or ""),
        "tls": "on" if mqtt.get("tls") is not None else "",
        "home_assistant": "on" if mqtt.get("home_assistant") is not None else "",
    }
    return _render(request, fields)


async def change(request: Request) -> Response:
    """Try the broker, save it, or go on without one."""
    form = await read_form(request)
    return await run_in_threadpool(_change, request, form)


def _change(request: Request, form: Mapping[str, str]) -> Response:
    setup, password = setup_of(context_of(request)), form.get("password") or None
    try:
        values = make_mqtt_values(form)
        if form.get("action") == "test":
            return _render(request, form, steps=setup.check_mqtt(values, password))
        setup.save_mqtt(values, password)
    except AsdMonitorError as error:
        return _render(request, form, error=without_place(error))
    machine = request.query_params.get("machine", "")
    return RedirectResponse(f"/setup/done?machine={machine}" if machine else "/settings", 303)


def make_mqtt_values(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the section of the settings that a form describes."""
    port = form.get("port", "").strip()
    tls = bool(form.get("tls"))
    values: dict[str, Any] = {"host": form.get("host", "").strip()}
    values["port"] = int(port) if port.isdecimal() else port or (TLS_PORT if tls else DEFAULT_PORT)
    if username := form.get("username", "").strip():
        values["username"] = username
    if tls:
        values["tls"] = {}
    if form.get("home_assistant"):
        values["home_assistant"] = {}
    return values


def _render(
    request: Request,
    fields: Mapping[str, str],
    *,
    steps: Sequence[CheckStep] = (),
    error: str = "",
) -> Response:
    context = context_of(request)
    machine = request.query_params.get("machine", "")
    keys = ("host", "port", "username", "tls", "home_assistant")
    values = {
        "machine": machine if machine in context.machines else "",
        "fields": {key: fields.get(key, "") for key in keys},
        "checks": steps,
        "is_fixed": "mqtt" in setup_of(context).fixed_sections(),
        "step_words": STEP_WORDS,
        "error": error,
    }
    return render_step(request, "notify", values, status=400 if error else 200)


ENDPOINTS = [
    Endpoint("/setup/notify", notify_page, role=Role.ADMIN),
    Endpoint("/setup/notify", change, role=Role.ADMIN, methods=("POST",)),
]
