"""Check the MQTT broker and the Prometheus endpoint."""

import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import SinkError

if TYPE_CHECKING:
    from asd_monitor.sinks.mqtt.settings import MqttSettings
    from asd_monitor.sinks.prometheus.settings import PrometheusSettings

PROBE_TIMEOUT_S = 3.0

_HINTS = {
    "dns": "correct the broker's name, or this computer's DNS",
    "tcp": "check that the broker is running, its port, and any firewall in between",
    "tls": "correct mqtt.tls: the authority's certificate, the broker's name, the port",
    "login": "correct the user name and password, or the broker's list of users",
    "publish": "allow this user to write to the topic (the broker's access list)",
}


def check_mqtt(context: Context) -> list[Finding]:
    """Resolve the broker's name, connect, log in, publish, and check the node name."""
    from asd_monitor.sinks.mqtt.check import check_broker
    from asd_monitor.sinks.mqtt.settings import MqttSettings

    settings = context.config.sink_settings(MqttSettings)
    if settings is None:
        return [ok("mqtt", "off: no broker is named (--mqtt, or mqtt: in the configuration)")]
    findings = []
    for step in check_broker(settings, context.config.node):
        name = f"mqtt {step.name}"
        hint = step.hint or _HINTS.get(step.name, "")
        if step.is_warning:
            findings.append(warning(name, step.detail, hint))
        elif step.ok:
            findings.append(ok(name, step.detail))
        else:
            findings.append(failed(name, step.detail, hint, SinkError))
    return findings + _check_sparkplug(settings, context.config.node)


def _check_sparkplug(settings: "MqttSettings", node: str) -> list[Finding]:
    """Check that payloads of Sparkplug can be encoded, if it is on."""
    sparkplug = settings.sparkplug
    if sparkplug is None:
        return []
    if missing := settings.find_missing_package():
        hint = "install the extra sparkplug, or set sparkplug: off"
        return [failed("mqtt sparkplug", missing, hint, SinkError)]
    edge_node = f"{sparkplug.group}/{sparkplug.edge_node or node}"
    host = sparkplug.primary_host
    awaited = "" if host is None else f"; sends only while the host {host} is online"
    return [ok("mqtt sparkplug", f"edge node {edge_node}{awaited}")]


def check_metrics_port(context: Context) -> list[Finding]:
    """Check that the metrics can be served at the address and port of the settings."""
    from prometheus_client import CollectorRegistry

    from asd_monitor.sinks.prometheus.settings import PrometheusSettings
    from asd_monitor.sinks.prometheus.sink import PrometheusSink
    from asd_monitor.telemetry.metrics import Metrics

    settings = context.config.sink_settings(PrometheusSettings)
    if settings is None:
        return [ok("metrics", "off: no metrics are served")]
    sink = PrometheusSink(settings, Metrics(CollectorRegistry()))
    try:
        sink.open()
    except SinkError as error:
        if _is_served_by_monitor(settings):
            return [ok("metrics", f"a monitor is already serving {sink.url}")]
        message, _, hint = str(error).partition("; ")
        return [failed("metrics", message, hint or "see docs/metrics.md", SinkError)]
    url = sink.url
    sink.close()
    return [ok("metrics", f"{url} can be served")]


def _is_served_by_monitor(settings: "PrometheusSettings") -> bool:
    host = "127.0.0.1" if settings.address in ("0.0.0.0", "::") else settings.address  # noqa: S104
    host = f"[{host}]" if ":" in host else host
    url = f"http://{host}:{settings.port}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_S) as page:
            return b"asd_build_info" in page.read(1 << 20)
    except (OSError, ValueError, urllib.error.URLError):
        return False
