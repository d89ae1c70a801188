"""Static files."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from asd_monitor.web.context import context_of
from asd_monitor.web.endpoint import Endpoint


async def static_file(request: Request) -> Response:
    """Return a static file, which browsers may keep: its URL changes with its content."""
    file = context_of(request).pages.static.find(request.path_params["name"])
    if file is None:
        raise HTTPException(404)
    cache = "public, max-age=31536000, immutable"
    return Response(file.content, media_type=file.content_type, headers={"Cache-Control": cache})


ENDPOINTS = [Endpoint("/static/{version}/{name:path}", static_file, role=None)]
