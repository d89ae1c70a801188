"""Whether the monitor works, for supervision by other programs."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from asd_monitor.telemetry.readiness import describe_readiness
from asd_monitor.web.context import context_of
from asd_monitor.web.endpoint import Endpoint


async def healthz(request: Request) -> Response:
    """Return 200 while the monitor consumes audio, else 503."""
    if context_of(request).status().is_alive:
        return PlainTextResponse("ok\n")
    return PlainTextResponse("the monitor does not consume audio\n", 503)


async def readyz(request: Request) -> Response:
    """Return 200 while every machine is scored or learned, else 503 with the others' reasons."""
    is_ready, text = describe_readiness(context_of(request).status())
    return PlainTextResponse(text, 200 if is_ready else 503)


ENDPOINTS = [
    Endpoint("/readyz", readyz, role=None),
    Endpoint("/api/v1/healthz", healthz, role=None),
    Endpoint("/api/v1/readyz", readyz, role=None),
]
