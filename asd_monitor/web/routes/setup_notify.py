"""The step of the set-up at which people choose where results are sent."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from asd_monitor.errors import AsdMonitorError
from asd_monitor.web.access_store import Role
from asd_monitor.web.context import context_of
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.form import read_form
from asd_monitor.web.recipient_address import NTFY_SERVER, make_address, make_topic
from asd_monitor.web.routes.setup import render_step, setup_of, without_place
from asd_monitor.web.setup import CheckStep, Setup

DEFAULT_PORT, TLS_PORT = 1883, 8883
STEP_WORDS = {
    "dns": "Name",
    "tcp": "Connection",
    "tls": "Encryption",
    "login": "Login",
    "publish": "Messages",
}
NO_PEOPLE = {
    "service": "",
    "to": "",
    "server": "",
    "encryption": "starttls",
    "user": "",
    "from": "",
    "ntfy_server": NTFY_SERVER,
    "address": "",
}
"""What the forms of the services contain at first."""
ENCRYPTION_WORDS = {
    "starttls": "STARTTLS (587)",
    "ssl": "TLS (465)",
    "insecure": "none (25)",
}
NOT_ADDED = "Not added, because the test message was not accepted."


def notify_page(request: Request) -> Response:
    """Return who is notified, and the form with the broker that is saved."""
    return _render(request)


async def change_people(request: Request) -> Response:
    """Try an address, save it, or remove one."""
    return await run_in_threadpool(_change_people, request, await read_form(request))


def _change_people(request: Request, form: Mapping[str, str]) -> Response:
    setup, action = setup_of(context_of(request)), form.get("action", "")
    try:
        if action.startswith("remove-") and action[7:].isdecimal():
            setup.remove_recipient(int(action[7:]))
            return _go_back(request)
        address = make_address(form)
        if action != "add":
            steps = setup.check_recipient(address)
            if not all(step.is_ok for step in steps):
                return _render(request, people=form, people_checks=steps, people_error=NOT_ADDED)
        setup.add_recipient(address)
    except AsdMonitorError as error:
        return _render(request, people=form, people_error=without_place(error))
    return _go_back(request)


async def change_broker(request: Request) -> Response:
    """Try the broker, or save it."""
    return await run_in_threadpool(_change_broker, request, await read_form(request))


def _change_broker(request: Request, form: Mapping[str, str]) -> Response:
    setup, password = setup_of(context_of(request)), form.get("password") or None
    try:
        if form.get("action") == "remove":
            setup.save_mqtt(None, None)
            return _go_back(request)
        values = make_mqtt_values(form)
        if form.get("action") == "test":
            return _render(request, broker=form, broker_checks=setup.check_mqtt(values, password))
        setup.save_mqtt(values, password)
    except AsdMonitorError as error:
        return _render(request, broker=form, broker_error=without_place(error))
    return _go_back(request)


def _go_back(request: Request) -> Response:
    machine = request.query_params.get("machine", "")
    query = {"saved": "1"} | ({"machine": machine} if machine else {})
    return RedirectResponse(f"/setup/notify?{urlencode(query)}", 303)


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


def _saved_broker(setup: Setup) -> dict[str, str]:
    mqtt = setup.section("mqtt")
    return {
        "host": str(mqtt.get("host", "")),
        "port": str(mqtt.get("port", DEFAULT_PORT)),
        "username": str(mqtt.get("username") or ""),
        "tls": "on" if mqtt.get("tls") is not None else "",
        "home_assistant": "on" if mqtt.get("home_assistant") is not None else "",
    }


def _render(
    request: Request,
    *,
    people: Mapping[str, str] = NO_PEOPLE,
    people_checks: Sequence[CheckStep] = (),
    people_error: str = "",
    broker: Mapping[str, str] | None = None,
    broker_checks: Sequence[CheckStep] = (),
    broker_error: str = "",
) -> Response:
    context = context_of(request)
    setup, machine = setup_of(context), request.query_params.get("machine", "")
    saved = _saved_broker(setup)
    fixed = setup.fixed_sections()
    error = people_error or broker_error
    if machine not in context.machines:
        machine = ""
    values = {
        "title": "Set up a machine" if machine else "Notifications",
        "machine": machine,
        "recipients": setup.recipients(),
        "form": NO_PEOPLE | {"topic": make_topic()} | dict(people),
        "encryptions": ENCRYPTION_WORDS,
        "people_checks": people_checks,
        "people_error": people_error,
        "broker": saved if broker is None else {key: broker.get(key, "") for key in saved},
        "has_broker": bool(saved["host"]),
        "broker_checks": broker_checks,
        "broker_error": broker_error,
        "people_fixed": "notify" in fixed,
        "broker_fixed": "mqtt" in fixed,
        "step_words": STEP_WORDS,
        "was_saved": "saved" in request.query_params and not error,
    }
    status, step = 400 if error else 200, "notify" if machine else ""
    return render_step(request, "notify", values, status=status, step=step)


ENDPOINTS = [
    Endpoint("/setup/notify", notify_page, role=Role.ADMIN),
    Endpoint("/setup/notify/people", change_people, role=Role.ADMIN, methods=("POST",)),
    Endpoint("/setup/notify/broker", change_broker, role=Role.ADMIN, methods=("POST",)),
]
