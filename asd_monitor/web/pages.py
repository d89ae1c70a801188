"""Render the HTML pages."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from asd_monitor import __version__
from asd_monitor.web import formats
from asd_monitor.web.access_store import Role
from asd_monitor.web.static_files import StaticFiles
from asd_monitor.web.strip import Strip

TEMPLATES = Path(__file__).parent / "templates"


class PageRenderer:
    """Render templates with what every page shows.

    Parameters
    ----------
    node
        Name of the monitor.
    static
        The static files, for their URLs.
    """

    def __init__(self, node: str, static: StaticFiles) -> None:
        self.static = static
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(formats.FILTERS)
        self._environment.globals.update(
            node=node, version=__version__, static=f"/static/{static.version}/"
        )

    def render_strip(self, strip: Strip) -> Markup:
        """Return the states of the last 24 hours as HTML."""
        module = self._environment.get_template("_state.html").module
        html: Markup = module.strip_bar(strip, "Last 24 hours")  # type: ignore[attr-defined]
        return html

    def render(
        self,
        request: Request,
        template: str,
        values: Mapping[str, Any],
        *,
        status: int = 200,
    ) -> HTMLResponse:
        """Return a page.

        Parameters
        ----------
        request
            The request that is answered.
        template
            File name of the template.
        values
            Its variables; ``title`` is required of whole pages.
        status
            HTTP status.
        """
        identity = getattr(request.state, "identity", None)
        common = {
            "identity": identity,
            "path": request.url.path,
            "zone": formats.describe_zone(time.localtime()),
            "has_settings": identity is not None
            and identity.role >= Role.ADMIN
            and request.app.state.context.setup is not None,
        }
        text = self._environment.get_template(template).render(common | dict(values))
        return HTMLResponse(text, status)
