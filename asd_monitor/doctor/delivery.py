"""The MQTT broker and the port of the metrics."""

import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from asd_monitor.doctor.context import Case
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import SinkError

if TYPE_CHECKING:
    from asd_monitor.sinks.prometheus.sink import PrometheusSettings

PROBE_S = 3.0

_ADVICE = {
    "dns": "correct the broker's name, or this computer's DNS",
    "tcp": "is the broker running, is it the right port, does a firewall stand between?",
    "tls": "correct mqtt.tls: the authority's certificate, the broker's name, the port",
    "login": "correct username and password, or the broker's list of users",
    "publish": "allow this user to write to the topic (the broker's access list)",
}


def check_mqtt(case: Case) -> list[Finding]:
    """Try to resolve, connect to, log in at, and publish to the broker."""
    from asd_monitor.sinks.mqtt.check import check_broker
    from asd_monitor.sinks.mqtt.settings import MqttSettings

    settings = case.config.sink_settings(MqttSettings)
    if settings is None:
        return [ok("mqtt", "nothing is published over MQTT")]
    findings = []
    for step in check_broker(settings, case.config.node):
        name = f"mqtt {step.name}"
        if step.ok:
            findings.append(ok(name, step.detail))
        elif case.broker_given:
            findings.append(failed(name, step.detail, _ADVICE[step.name], SinkError))
        else:
            advice = f"{_ADVICE[step.name]} The monitor runs without; name yours with --mqtt"
            findings.append(warning(name, step.detail, advice))
    return findings


def check_metrics_port(case: Case) -> list[Finding]:
    """Tell whether the metrics can be served where the settings say."""
    from prometheus_client import CollectorRegistry

    from asd_monitor.sinks.prometheus.sink import PrometheusSettings, PrometheusSink
    from asd_monitor.telemetry.metrics import Metrics

    settings = case.config.sink_settings(PrometheusSettings)
    if settings is None:
        return [ok("metrics", "no metrics are served")]
    sink = PrometheusSink(settings, Metrics(CollectorRegistry()))
    try:
        sink.open()
    except SinkError as error:
        if _is_ours(settings):
            return [ok("metrics", f"a monitor is already serving {sink.url}")]
        told, _, advice = str(error).partition("; ")
        return [failed("metrics", told, advice or "see docs/metrics.md", SinkError)]
    url = sink.url
    sink.close()
    return [ok("metrics", f"{url} can be served")]


def _is_ours(settings: "PrometheusSettings") -> bool:
    host = "127.0.0.1" if settings.address in ("0.0.0.0", "::") else settings.address  # noqa: S104
    place = f"[{host}]" if ":" in host else host
    try:
        with urllib.request.urlopen(
            f"http://{place}:{settings.port}/metrics", timeout=PROBE_S
        ) as page:
            return b"asd_build_info" in page.read(1 << 20)
    except (OSError, ValueError, urllib.error.URLError):
        return False
