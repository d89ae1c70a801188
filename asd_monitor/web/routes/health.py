"""Whether the monitor works, for supervision by other programs."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from asd_monitor.records import SourceState
from asd_monitor.web.context import context_of
from asd_monitor.web.endpoint import Endpoint

_DELIVERING = frozenset({SourceState.RUNNING, SourceState.SILENT, SourceState.ENDED})


async def healthz(request: Request) -> Response:
    """Return 200 while the monitor consumes audio, else 503."""
    if context_of(request).status().is_alive:
        return PlainTextResponse("ok\n")
    return PlainTextResponse("the monitor does not consume audio\n", 503)


async def readyz(request: Request) -> Response:
    """Return 200 while every machine's source delivers audio, else 503 with the machines."""
    machines = context_of(request).status().machines
    missing = [
        name
        for name, machine in machines.items()
        if machine.health is None or machine.health.state not in _DELIVERING
    ]
    if not missing:
        return PlainTextResponse("ok\n")
    return PlainTextResponse(f"no audio: {', '.join(missing)}\n", 503)


ENDPOINTS = [
    Endpoint("/api/v1/healthz", healthz, role=None),
    Endpoint("/api/v1/readyz", readyz, role=None),
]
