"""Read the bodies of requests."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from asd_monitor.web.connections import REQUEST_TIMEOUT_S

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 50


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form; of a repeated field the last value.

    Raises
    ------
    HTTPException
        If the body is not a form of UTF-8 text with at most 50 fields.
    """
    _expect_type(request, FORM_TYPE)
    body = await _read(request)
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise HTTPException(400, f"expected a form: {error}") from error
    return dict(pairs)


async def read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object in a request's body; raise HTTPException if it is anything else."""
    _expect_type(request, "application/json")
    body = await _read(request)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "expected a body of JSON") from error
    if not isinstance(value, dict):
        raise HTTPException(400, "expected a JSON object")
    return value


def _expect_type(request: Request, expected: str) -> None:
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != expected:
        raise HTTPException(415, f"expected Content-Type {expected}, found {found or 'none'}")


async def _read(request: Request) -> bytes:
    try:
        return await asyncio.wait_for(request.body(), REQUEST_TIMEOUT_S)
    except (TimeoutError, ClientDisconnect) as error:
        raise HTTPException(408, "the body has not been received in time") from error
