"""The pages that the monitor serves over HTTP.

To add a page, write a function from :class:`Request` to :class:`Response` and add a line to
:data:`ROUTES`; it is then linked from ``/``.
"""

import gzip
import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder

from asd_monitor import __version__
from asd_monitor.sinks.prometheus.http_server import Response
from asd_monitor.telemetry.readiness import describe_readiness
from asd_monitor.telemetry.status import MonitorStatus


@dataclass(frozen=True, slots=True)
class Request:
    """What a page is made from."""

    headers: Message
    status: MonitorStatus
    registry: CollectorRegistry
    """The monitor's series."""


def metrics(request: Request) -> Response:
    """Return all series in the format that the client asks for."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    body = encode(_Exposition(request.registry))
    if _accepts_gzip(request.headers):
        body, headers = gzip.compress(body, compresslevel=1), {"Content-Encoding": "gzip"}
        return Response(body, content_type, headers=headers)
    return Response(body, content_type)


def metrics_form(headers: Message) -> tuple[str, bool]:
    """Return the form of the metrics that a client asks for: content type, and whether gzipped."""
    return choose_encoder(headers.get("Accept", ""))[1], _accepts_gzip(headers)


def _accepts_gzip(headers: Message) -> bool:
    return "gzip" in headers.get("Accept-Encoding", "")


class _Exposition:
    """The series of a registry and those of the process (CPU, memory, files).

    The ``_created`` series are left out: they would double the number of counters for start times
    that ``process_start_time_seconds`` gives as well.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._collectors = (registry, ProcessCollector(registry=None))

    def collect(self) -> Iterator[Metric]:
        for collector in self._collectors:
            for metric in collector.collect():
                if metric.type in ("counter", "histogram"):
                    metric.samples = [
                        sample for sample in metric.samples if not sample.name.endswith("_created")
                    ]
                yield metric


def health(request: Request) -> Response:
    """Return 200 while the monitor works, else 503; then one line per machine with a problem.

    A problem of a machine's sound needs a person, not a restart of the monitor: the status is 200.
    """
    if request.status.is_alive:
        lines = [
            f"{name}: {machine.state}: {machine.problem}\n"
            for name, machine in request.status.machines.items()
            if machine.problem
        ]
        return Response("".join(["ok\n", *lines]).encode())
    return Response(b"the monitor does not consume audio\n", status=503)


def readiness(request: Request) -> Response:
    """Return 200 while every machine is scored or learned, else 503 with the others' reasons."""
    is_ready, text = describe_readiness(request.status)
    return Response(text.encode(), status=200 if is_ready else 503)


def index(request: Request) -> Response:
    """Return an HTML page with the machines' states and links to the other pages."""
    states = "".join(
        f"<li>{html.escape(name)}: {machine.state}</li>\n"
        for name, machine in request.status.machines.items()
    )
    links = "".join(
        f'<li><a href="{path.removeprefix("/")}">{path}</a>: {html.escape(title)}</li>\n'
        for path, (_, title) in ROUTES.items()
        if path != "/"
    )
    page = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>asd-monitor</title></head>
<body>
<h1>asd-monitor {html.escape(__version__)}</h1>
<p>Acoustic condition monitoring.</p>
<ul>
{states}</ul>
<ul>
{links}</ul>
</body>
</html>
"""
    return Response(page.encode(), "text/html; charset=utf-8")


ROUTES: dict[str, tuple[Callable[[Request], Response], str]] = {
    "/": (index, "this page"),
    "/metrics": (metrics, "metrics for Prometheus"),
    "/healthz": (health, "200 while the monitor consumes audio, else 503"),
    "/readyz": (readiness, "200 while every machine is scored or learned as intended, else 503"),
}
"""The page and its title, by path."""


def respond(path: str, request: Request) -> Response:
    """Return the page at a path, or 404."""
    if path not in ROUTES:
        pages = ", ".join(ROUTES)
        return Response(f"{path}: not found; the pages are {pages}\n".encode(), status=404)
    page, _ = ROUTES[path]
    return page(request)
