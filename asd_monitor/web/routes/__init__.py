"""The routes, one module for each group.

To add one, write a function and a line in ``ENDPOINTS`` of its module; routes of the API also need
an entry in ``docs/schemas/openapi.yaml``.
"""

from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.routes import access, health, overview, static

ENDPOINTS: list[Endpoint] = [
    *overview.ENDPOINTS,
    *access.ENDPOINTS,
    *health.ENDPOINTS,
    *static.ENDPOINTS,
]
"""Every route."""
