"""The stream of live data."""

from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from asd_monitor.web.authentication import identify
from asd_monitor.web.connections import CONNECTION
from asd_monitor.web.context import context_of
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.live import MAX_STREAMS
from asd_monitor.web.routes.machines_api import describe_machines
from asd_monitor.web.stream import Connection


async def live(request: Request) -> Response:
    """Return an event stream of states, scores, health and spectrogram columns."""
    context = context_of(request)
    machine = request.query_params.get("machine") or None
    if machine is not None and machine not in context.machines:
        return JSONResponse({"error": "machine: expected the id of a machine"}, 400)
    with_spectrogram = machine is not None and request.query_params.get("spectrogram") == "1"
    stream = context.hub.open(
        machine,
        with_spectrogram,
        _find_connection(request),
        lambda: identify(request) is not None,
    )
    if stream is None:
        reason = f"{MAX_STREAMS} pages are open already; close one"
        return JSONResponse({"error": reason}, 503, {"Retry-After": "30"})
    hello = {"node": context.node, "machines": describe_machines(context)}
    messages = context.hub.messages(stream, hello)
    return _StreamResponse(messages, lambda: context.hub.close(stream))


def _find_connection(request: Request) -> Connection | None:
    """Return the connection of a request if chunks of its response can be written to it."""
    if request.method != "GET" or request.scope["http_version"] != "1.1":
        return None
    connection: Connection | None = getattr(request.state, CONNECTION, None)
    return connection


class _StreamResponse(StreamingResponse):
    """An event stream that is closed when its response ends, in whatever way."""

    def __init__(self, messages: AsyncIterator[bytes], close: Callable[[], None]) -> None:
        super().__init__(messages, media_type="text/event-stream")
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


ENDPOINTS = [Endpoint("/api/v1/live", live)]
