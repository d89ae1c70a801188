"""Scores, states and health as Prometheus series, served over HTTP."""

import errno
import gzip
import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterator
from typing import Self

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from pydantic import BaseModel, ConfigDict, Field, model_validator

from asd_monitor.errors import SinkError
from asd_monitor.records import (
    LearningProgress,
    Record,
    ScoredWindow,
    SourceHealth,
    Transition,
    WindowScore,
)
from asd_monitor.settings_file import SettingsPath
from asd_monitor.sinks.context import SinkContext
from asd_monitor.sinks.prometheus.http_server import MetricsServer
from asd_monitor.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


class PrometheusSettings(BaseModel):
    """Where Prometheus finds the metrics."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on; other machines can read the metrics only "
        "if it is one that they reach.",
    )
    port: int = Field(9109, ge=0, le=65535, description="TCP port; 0 means any free one.")
    certificate_file: SettingsPath | None = Field(
        None, description="TLS certificate (PEM, with its chain); plain HTTP without one."
    )
    key_file: SettingsPath | None = Field(None, description="The certificate's private key (PEM).")
    client_ca_file: SettingsPath | None = Field(
        None, description="Serve only clients with a certificate of this authority (PEM)."
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            msg = "certificate_file and key_file go together: give both, or neither"
            raise ValueError(msg)
        if self.client_ca_file is not None and self.certificate_file is None:
            msg = (
                "client_ca_file needs certificate_file and key_file: "
                "clients show their certificates only over TLS"
            )
            raise ValueError(msg)
        return self


class PrometheusSink:
    """Keep the monitor's series up to date, and serve them.

    Parameters
    ----------
    settings
        Where to listen.
    metrics
        The series; the sink is the only one to feed records to them.
    alive
        ``/healthz`` answers 200 while it returns True, else 503.
    offline_machines
        Machines whose audio is not played at the pace of real time: the capture times of
        their windows say nothing of the monitor's latency, so none is recorded.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        settings: PrometheusSettings,
        metrics: Metrics,
        *,
        alive: Callable[[], bool] = lambda: True,
        offline_machines: Collection[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._alive = alive
        self._offline_machines = frozenset(offline_machines)
        self._clock = clock
        self._server: MetricsServer | None = None

    @classmethod
    def build(cls, settings: PrometheusSettings, context: SinkContext) -> Self:
        """Build the sink of a monitor."""
        return cls(
            settings,
            context.metrics,
            alive=context.is_alive,
            offline_machines=context.offline_machines,
        )

    @property
    def port(self) -> int:
        """The port listened on; the one of the settings while not open."""
        return self._settings.port if self._server is None else self._server.server_port

    @property
    def url(self) -> str:
        """Where the metrics can be read."""
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
        tls = _tls_context(self._settings)
        family, address = _resolve(self._settings)
        if tls is None and not ipaddress.ip_address(address[0].partition("%")[0]).is_loopback:
            log.warning(
                "prometheus: %s is reachable from other machines without TLS: set "
                "prometheus.certificate_file and prometheus.key_file, or address: 127.0.0.1",
                self._settings.address,
            )
        exposition = _Exposition(self._metrics.registry)
        try:
            self._server = MetricsServer(family, address, exposition.render, self._alive, tls)
        except OSError as error:
            raise SinkError(_cannot_listen(self._settings, error)) from error
        log.info("metrics at %s", self.url)

    def emit(self, record: Record) -> None:
        """Update the series; a few microseconds, no waiting."""
        match record:
            case ScoredWindow():
                self._metrics.observe_window(record, self._latency_s(record.score))
            case Transition():
                self._metrics.observe_transition(record)
            case SourceHealth():
                self._metrics.observe_health(record)
            case LearningProgress():
                self._metrics.observe_learning(record)

    def _latency_s(self, score: WindowScore) -> float | None:
        if score.machine in self._offline_machines:
            return None
        latency_s = self._clock() - score.captured_at
        # The wall clock was set back meanwhile: no latency is better than a negative one.
        return latency_s if latency_s >= 0 else None

    def close(self) -> None:
        """Stop serving; may be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()


class _Exposition:
    """The registry as text, with the process's own CPU, memory and file figures.

    The ``_created`` series are left out: they would double the number of counters for
    start times that ``process_start_time_seconds`` gives as well.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._collectors: tuple[Collector, ...] = (registry, ProcessCollector(registry=None))

    def collect(self) -> Iterator[Metric]:
        for collector in self._collectors:
            for metric in collector.collect():
                if metric.type in ("counter", "histogram"):
                    metric.samples = [
                        sample for sample in metric.samples if not sample.name.endswith("_created")
                    ]
                yield metric

    def render(self, accept: str, accept_encoding: str) -> tuple[dict[str, str], bytes]:
        """Return the headers and the body of an answer to a scrape."""
        encode, content_type = choose_encoder(accept)
        body = encode(self)
        headers = {"Content-Type": content_type}
        if "gzip" in accept_encoding:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=1)
        return headers, body


def _resolve(
    settings: PrometheusSettings,
) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(
            settings.address, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:  # two dots in a row are no OSError
        msg = (
            f"prometheus.address: expected an address or name of this machine, found "
            f"{settings.address!r}, which cannot be looked up ({error}); "
            f"use 127.0.0.1 to serve this machine only"
        )
        raise SinkError(msg) from error
    family, _, _, _, address = found[0]
    return family, (str(address[0]), settings.port)


def _tls_context(settings: PrometheusSettings) -> ssl.SSLContext | None:
    if settings.certificate_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
        if settings.client_ca_file is not None:
            context.load_verify_locations(settings.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one
        files = [
            str(path)
            for path in (settings.certificate_file, settings.key_file, settings.client_ca_file)
            if path is not None
        ]
        msg = (
            f"prometheus: expected a PEM certificate with its key, found that "
            f"{', '.join(files)} cannot be used ({error}); check that the files exist, can be "
            f"read by this user, and belong together"
        )
        raise SinkError(msg) from error
    return context


def _cannot_listen(settings: PrometheusSettings, error: OSError) -> str:
    where = f"prometheus: cannot listen on {settings.address} port {settings.port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where}: another program uses the port (`ss -ltnp 'sport = :{settings.port}'` "
            f"shows which); stop it, or set prometheus.port to another one"
        )
    if error.errno == errno.EACCES:
        return f"{where}: not permitted; set prometheus.port to 1024 or more"
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"{where}: no network interface of this machine has that address; "
            f"set prometheus.address to 127.0.0.1 or to one that `ip address` lists"
        )
    return f"{where}: {error}"
