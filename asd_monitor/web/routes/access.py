"""Signing in and out, and the first password."""

import sqlite3

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from asd_monitor.errors import ConfigError
from asd_monitor.web.access_store import SESSION_S, Identity, Role
from asd_monitor.web.authentication import delete_cookie, identify, set_cookie
from asd_monitor.web.context import WebContext, context_of, identity_of
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.form import read_form

ADMIN = "admin"


async def login_page(request: Request) -> Response:
    """Return the form to sign in."""
    target = safe_target(request.query_params.get("next", "/"))
    if identify(request) is not None:
        return RedirectResponse(target, 303)
    return _render_login(request, target)


async def login(request: Request) -> Response:
    """Check name and password, and open a session."""
    context, form = context_of(request), await read_form(request)
    target = safe_target(form.get("next", "/"))
    if not context.login_limit.accept(_address(request)):
        reason = "Too many tries. Wait a minute, then try again."
        return _render_login(request, target, reason, 429)
    name = form.get("name", "").strip()
    found = await run_in_threadpool(context.access.check_password, name, form.get("password", ""))
    if found is None:
        return _render_login(request, target, "Name or password is wrong.", 403)
    return await _open_session(request, context, found.name, target)


async def logout(request: Request) -> Response:
    """End the session."""
    context, identity = context_of(request), identity_of(request)
    if identity.session is not None:
        await run_in_threadpool(context.access.close_session, identity.session)
    response = RedirectResponse("/login", 303)
    delete_cookie(response, context)
    return response


async def first_password_page(request: Request) -> Response:
    """Return the form for the first password, to the holder of the one-time link."""
    context, key = context_of(request), request.query_params.get("key", "")
    if not _may_set_password(context, key):
        return _refuse_link(request)
    return _render_first_password(request, key)


async def set_first_password(request: Request) -> Response:
    """Create the first account, and open a session."""
    context, form = context_of(request), await read_form(request)
    key, password = form.get("key", ""), form.get("password", "")
    if not _may_set_password(context, key):
        return _refuse_link(request)
    if password != form.get("repeated", ""):
        return _render_first_password(request, key, "The two passwords differ.")
    name = form.get("name", "").strip() or ADMIN
    try:
        await run_in_threadpool(context.access.set_account, name, password, Role.ADMIN)
    except ConfigError as error:
        return _render_first_password(request, key, f"{str(error).capitalize()}.")
    context.setup_link.use(key)
    return await _open_session(request, context, name, "/")


async def whoami(request: Request) -> Response:
    """Return 204 for a request with a session, else 401."""
    identity: Identity | None = identify(request)
    return Response(status_code=204 if identity else 401)


def safe_target(target: str) -> str:
    """Return the path to go to after signing in: one of this page, whatever a link asks for."""
    is_own = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if is_own and target.isprintable() else "/"


def _may_set_password(context: WebContext, key: str) -> bool:
    return context.setup_link.is_valid(key) and not context.access.has_accounts()


async def _open_session(request: Request, context: WebContext, name: str, target: str) -> Response:
    try:
        secret = await run_in_threadpool(context.access.open_session, name, _address(request))
    except sqlite3.Error as error:
        reason = f"The session cannot be stored: {error}."
        return _render_login(request, target, reason, 503)
    response = RedirectResponse(target, 303)
    set_cookie(response, context, secret, SESSION_S)
    return response


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _render_login(request: Request, target: str, error: str = "", status: int = 200) -> Response:
    values = {"title": "Sign in", "next": target, "error": error}
    return context_of(request).pages.render(request, "login.html", values, status=status)


def _render_first_password(request: Request, key: str, error: str = "") -> Response:
    values = {"title": "Set a password", "key": key, "error": error, "name": ADMIN}
    status = 400 if error else 200
    return context_of(request).pages.render(request, "password.html", values, status=status)


def _refuse_link(request: Request) -> Response:
    reason = (
        "This link is not valid any more: it can be used once, within 15 minutes of the start of "
        "the monitor. Restart the monitor for a new one, or run `asd-monitor access admin`."
    )
    values = {"title": "Not allowed", "reason": reason}
    return context_of(request).pages.render(request, "error.html", values, status=403)


ENDPOINTS = [
    Endpoint("/login", login_page, role=None),
    Endpoint("/login", login, role=None, methods=("POST",)),
    Endpoint("/logout", logout, methods=("POST",)),
    Endpoint("/password", first_password_page, role=None),
    Endpoint("/password", set_first_password, role=None, methods=("POST",)),
    Endpoint("/whoami", whoami, role=None),
]
