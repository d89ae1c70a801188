"""The routes, one module for each group.

To add one, write a function and a line in ``ENDPOINTS`` of its module; routes of the API also need
an entry in ``docs/schemas/openapi.yaml``.
"""

from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.routes import (
    access,
    events,
    events_api,
    health,
    judging,
    judging_api,
    live,
    machine,
    machines_api,
    overview,
    settings,
    setup,
    setup_notify,
    static,
    system,
)

ENDPOINTS: list[Endpoint] = [
    *overview.ENDPOINTS,
    *machine.ENDPOINTS,
    *events.ENDPOINTS,
    *judging.ENDPOINTS,
    *system.ENDPOINTS,
    *setup.ENDPOINTS,
    *setup_notify.ENDPOINTS,
    *settings.ENDPOINTS,
    *access.ENDPOINTS,
    *health.ENDPOINTS,
    *machines_api.ENDPOINTS,
    *judging_api.ENDPOINTS,  # before the files of events, whose path is more general
    *events_api.ENDPOINTS,
    *live.ENDPOINTS,
    *static.ENDPOINTS,
]
"""Every route."""
