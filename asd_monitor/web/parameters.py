"""Parse the parameters of requests."""

import math
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request


def number(
    request: Request, name: str, default: float, lowest: float = 0.0, highest: float = 1e12
) -> float:
    """Return a number in a range; raise HTTPException if the parameter is none."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not lowest <= value <= highest:
        reason = f"{name}: expected a number from {lowest:g} to {highest:g}, found {text[:40]!r}"
        raise HTTPException(400, reason)
    return value


def moment(request: Request, name: str, default: float) -> float:
    """Return a time in seconds since the epoch, from such a number or an ISO 8601 time."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        try:
            value = datetime.fromisoformat(text).astimezone().timestamp()
        except (ValueError, OverflowError, OSError):
            value = math.nan
    if not 0 <= value <= 1e11:
        reason = f"{name}: expected seconds since 1970 or a time such as 2026-11-30T12:00:00Z"
        raise HTTPException(400, reason)
    return value


def choice(request: Request, name: str, choices: tuple[str, ...], default: str) -> str:
    """Return one of the choices; raise HTTPException if the parameter is another value."""
    text = request.query_params.get(name, "") or default
    if text not in choices:
        reason = f"{name}: expected one of {', '.join(filter(None, choices))}, found {text[:40]!r}"
        raise HTTPException(400, reason)
    return text
