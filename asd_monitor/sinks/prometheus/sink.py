"""Record scores, states and health as Prometheus series, and serve them over HTTP."""

import errno
import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import Callable
from email.message import Message
from typing import Self

from asd_monitor.errors import SinkError
from asd_monitor.records import (
    LearningProgress,
    MachineAlarm,
    Record,
    ScoredWindow,
    SourceHealth,
    Transition,
)
from asd_monitor.sinks.context import SinkContext
from asd_monitor.sinks.prometheus import pages
from asd_monitor.sinks.prometheus.guard import RateLimit, is_own_host
from asd_monitor.sinks.prometheus.http_server import Response, StatusServer
from asd_monitor.sinks.prometheus.settings import PrometheusSettings
from asd_monitor.telemetry.metrics import Metrics
from asd_monitor.telemetry.status import MonitorStatus

logger = logging.getLogger(__name__)


class PrometheusSink:
    """A sink that updates the monitor's series and serves them.

    Parameters
    ----------
    settings
        Where to listen.
    metrics
        The series; no other sink records into them.
    status
        Returns a snapshot of the monitor for the pages.
    external_url
        URL under which users reach the web page; empty if it is not known.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        settings: PrometheusSettings,
        metrics: Metrics,
        *,
        status: Callable[[], MonitorStatus] = MonitorStatus,
        external_url: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._status = status
        self._external_url = external_url
        self._clock = clock
        self._server: StatusServer | None = None
        self._bound_to = "127.0.0.1"
        self._limit = RateLimit()

    @classmethod
    def build(cls, settings: PrometheusSettings, context: SinkContext) -> Self:
        """Build the sink of a monitor."""
        return cls(
            settings,
            context.metrics,
            status=context.status,
            external_url=context.external_url,
        )

    @property
    def port(self) -> int:
        """The port listened on; that of the settings while the sink is not open."""
        return self._settings.port if self._server is None else self._server.server_port

    @property
    def url(self) -> str:
        """URL of the metrics."""
        scheme = "http" if self._settings.certificate_file is None else "https"
        address = self._settings.address
        host = f"[{address}]" if ":" in address else address
        return f"{scheme}://{host}:{self.port}/metrics"

    def open(self) -> None:
        """Start serving.

        Raises
        ------
        SinkError
            If the address cannot be listened on or the TLS files cannot be used.
        """
        if self._server is not None:
            return
        tls = _make_tls_context(self._settings)
        family, address = _resolve(self._settings)
        if tls is None and not ipaddress.ip_address(address[0].partition("%")[0]).is_loopback:
            logger.warning(
                "prometheus: %s is reachable from other computers without TLS: set "
                "prometheus.certificate_file and prometheus.key_file, or address: 127.0.0.1",
                self._settings.address,
            )
        self._bound_to = address[0]
        try:
            self._server = StatusServer(family, address, self._respond, tls)
        except OSError as error:
            raise SinkError(_describe_listen_error(self._settings, error)) from error
        logger.info("metrics at %s", self.url)

    def _respond(self, path: str, headers: Message) -> Response:
        if not is_own_host(headers.get("Host"), self._bound_to):
            return Response(b"this host name is not served\n", status=421)

        def make() -> Response:
            request = pages.Request(headers, self._status(), self._metrics.registry)
            return pages.respond(path, request)

        if path != "/metrics":
            return make()
        return self._limit.respond(pages.metrics_form(headers), make)

    def emit(self, record: Record) -> None:
        """Update the series; takes a few microseconds and never blocks."""
        match record:
            case ScoredWindow():
                self._metrics.observe_window(record, self._latency_s(record))
            case Transition():
                self._metrics.observe_transition(record)
                self._metrics.event.observe(record, self._external_url)
            case SourceHealth():
                self._metrics.source.observe(record)
            case LearningProgress():
                self._metrics.observe_learning(record)
            case MachineAlarm():
                self._metrics.judging.observe(record)

    def _latency_s(self, window: ScoredWindow) -> float | None:
        if not window.is_live:
            return None
        latency_s = self._clock() - window.score.captured_at
        # Negative if the wall clock was set back in the meantime.
        return latency_s if latency_s >= 0 else None

    def close(self) -> None:
        """Stop serving; may be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()


def _resolve(settings: PrometheusSettings) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        addresses = socket.getaddrinfo(
            settings.address, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:  # UnicodeError: two consecutive dots
        msg = (
            f"prometheus.address: expected an address or name of this computer, found "
            f"{settings.address!r}, which cannot be looked up ({error}); "
            f"use 127.0.0.1 to serve only this computer"
        )
        raise SinkError(msg) from error
    family, _, _, _, address = addresses[0]
    return family, (str(address[0]), settings.port)


def _make_tls_context(settings: PrometheusSettings) -> ssl.SSLContext | None:
    if settings.certificate_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
        if settings.client_ca_file is not None:
            context.load_verify_locations(settings.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # includes ssl.SSLError
        files = (settings.certificate_file, settings.key_file, settings.client_ca_file)
        names = ", ".join(str(path) for path in files if path is not None)
        msg = (
            f"prometheus: expected a PEM certificate with its key, but {names} cannot be used "
            f"({error}); check that the files exist, can be read by this user, and belong together"
        )
        raise SinkError(msg) from error
    return context


def _describe_listen_error(settings: PrometheusSettings, error: OSError) -> str:
    prefix = f"prometheus: cannot listen on {settings.address} port {settings.port}"
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"{prefix}: another program uses the port (`ss -ltnp 'sport = :{settings.port}'` "
                f"shows which); stop it, or set prometheus.port to another one"
            )
        case errno.EACCES:
            return f"{prefix}: not permitted; set prometheus.port to 1024 or more"
        case errno.EADDRNOTAVAIL:
            return (
                f"{prefix}: no network interface of this computer has that address; "
                f"set prometheus.address to 127.0.0.1 or to one that `ip address` lists"
            )
        case _:
            return f"{prefix}: {error}"
