"""How a route of the page or of the API is declared."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asd_monitor.web.access_store import Role


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path with the function that answers requests for it."""

    path: str
    """As starlette takes it, with parameters in braces."""
    answer: Callable[..., Any]
    """Called with the request; a plain function runs in a worker thread."""
    role: Role | None = Role.VIEWER
    """Least role of the sender; None: everyone, also without signing in."""
    methods: tuple[str, ...] = ("GET",)
