"""The page about the monitor itself."""

import platform
import shutil

from starlette.requests import Request
from starlette.responses import Response

from asd_monitor.web.context import context_of
from asd_monitor.web.endpoint import Endpoint


def system(request: Request) -> Response:
    """Return versions, sources, disk and licences."""
    context = context_of(request)
    disk = shutil.disk_usage(context.archive.root)
    values = {
        "title": "System",
        "status": context.status(),
        "machines": context.machines,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "folder": str(context.archive.root),
        "disk": disk,
        "history_bytes": context.archive.size_bytes(),
        "started_s": context.started_s,
        "dropped": context.hub.dropped,
        "is_open": context.is_open,
    }
    return context.pages.render(request, "system.html", values)


ENDPOINTS = [Endpoint("/system", system)]
