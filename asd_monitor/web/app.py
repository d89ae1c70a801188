"""The ASGI application: routes, roles and errors."""

import inspect
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from asd_monitor.errors import AsdMonitorError
from asd_monitor.web.authentication import API_PREFIX, refuse
from asd_monitor.web.context import WebContext, context_of
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.guard import Guard
from asd_monitor.web.routes import ENDPOINTS


def create_app(context: WebContext) -> ASGIApp:
    """Return the application that answers all requests, guarded."""
    app = Starlette(
        routes=[_make_route(endpoint) for endpoint in ENDPOINTS],
        exception_handlers={
            HTTPException: _answer_error,
            AsdMonitorError: _answer_known_error,
            Exception: _answer_internal_error,
        },
    )
    app.router.redirect_slashes = False
    app.state.context = context
    return Guard(app, context.settings)


def _make_route(endpoint: Endpoint) -> Route:
    answer, role = endpoint.answer, endpoint.role
    is_async = inspect.iscoroutinefunction(answer)

    async def handle(request: Request) -> Response:
        refusal = None if role is None else refuse(request, role)
        if refusal is not None:
            return refusal
        response: Response = (
            await answer(request) if is_async else await run_in_threadpool(answer, request)
        )
        return response

    handler: Callable[[Request], Awaitable[Response]] = handle
    return Route(endpoint.path, handler, methods=list(endpoint.methods))


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    phrase = HTTPStatus(error.status_code).phrase
    reason = error.detail if error.detail != phrase else phrase.capitalize()
    return _render_error(request, error.status_code, reason)


async def _answer_known_error(request: Request, error: Exception) -> Response:
    return _render_error(request, 503, str(error))


async def _answer_internal_error(request: Request, error: Exception) -> Response:
    return _render_error(request, 500, "The page has failed; the log of the monitor says how.")


def _render_error(request: Request, status: int, reason: str) -> Response:
    if request.url.path.startswith(API_PREFIX):
        return JSONResponse({"error": reason}, status)
    title = {404: "Not found", 405: "Not possible"}.get(status, "Not possible")
    if status == 404 and reason == "Not found":
        reason = "There is no such page, or what it showed has been removed."
    values = {"title": title, "reason": reason}
    return context_of(request).pages.render(request, "error.html", values, status=status)
