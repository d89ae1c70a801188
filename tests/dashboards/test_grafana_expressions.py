"""Every expression of the dashboard and the alerts runs on a real Prometheus."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.records import State
from asd_monitor.sinks.prometheus.settings import PrometheusSettings
from asd_monitor.sinks.prometheus.sink import PrometheusSink
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.metrics_scenario import MACHINES, emit_round
from tests.rig.monitoring_files import (
    Expression,
    alerts,
    dashboard,
    expressions,
    fires,
    panels,
    prometheus_rules,
    substituted,
)
from tests.rig.prometheus import Prometheus, running_prometheus


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, str]]:
    """A Prometheus that scraped a sink which is fed as a monitor of two machines feeds it."""
    metrics = Metrics(CollectorRegistry())
    metrics.add_machines(MACHINES)
    metrics.sink_errors.labels("mqtt")
    metrics.mqtt_connected.set(1)
    sink = PrometheusSink(PrometheusSettings(port=0), metrics)
    emit_round(sink)
    sink.open()
    instance = f"127.0.0.1:{sink.port}"
    try:
        with running_prometheus(tmp_path_factory.mktemp("prometheus"), instance) as server:
            server.wait_for("asd_windows_total")
            for number in range(1, 5):
                emit_round(sink, number)
                metrics.mqtt_messages.labels("published").inc(20)
                counted = metrics.registry.get_sample_value(
                    "asd_windows_total", {"machine": "pump", "result": "scored"}
                )
                server.wait_for(f'asd_windows_total{{machine="pump",result="scored"}} == {counted}')
            server.wait_for("rate(process_cpu_seconds_total[5s])")
            yield server, instance
    finally:
        sink.close()


@pytest.mark.parametrize("expression", expressions(), ids=str)
def test_an_expression_runs_on_a_real_prometheus(
    expression: Expression, scraped: tuple[Prometheus, str]
) -> None:
    server, instance = scraped
    assert server.query(substituted(expression.text, instance, MACHINES))


def test_the_score_panel_shows_score_and_threshold_of_each_machine(
    scraped: tuple[Prometheus, str],
) -> None:
    server, instance = scraped
    (panel,) = (each for each in panels() if each.get("repeat") == "machine")
    shown = [
        server.query(substituted(each["expr"], instance, MACHINES)) for each in panel["targets"]
    ]
    for series in shown:
        assert {each["metric"]["machine"] for each in series} == set(MACHINES)


def test_a_machine_whose_monitor_is_gone_is_shown_as_unknown(tmp_path: Path) -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.add_machines(MACHINES)
    for machine in MACHINES:
        metrics.observe_state(machine, State.NORMAL)
    sink = PrometheusSink(PrometheusSettings(port=0), metrics)
    sink.open()
    instance = f"127.0.0.1:{sink.port}"
    (panel,) = (each for each in panels() if each["title"] == "State")
    (target,) = panel["targets"]
    expression = substituted(target["expr"], instance, MACHINES)
    with running_prometheus(tmp_path, instance) as server:
        server.wait_for("asd_state")
        assert [series["value"][1] for series in server.query(expression)] == ["2", "2"]
        sink.close()
        server.wait_for("up == 0")
        assert [series["value"][1] for series in server.query(expression)] == ["0", "0"]
    assert target["instant"] is True
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    assert mapping["options"]["0"]["text"] == str(State.UNKNOWN)


def test_the_variables_offer_what_was_scraped(scraped: tuple[Prometheus, str]) -> None:
    server, instance = scraped
    offered = {}
    for variable in dashboard()["templating"]["list"]:
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", ""))
        if match is not None:
            selector, label = match.groups()
            values = server.label_values(label, substituted(selector, instance, MACHINES))
            offered[variable["name"]] = sorted(values)
    assert offered == {"instance": [instance], "machine": sorted(MACHINES)}


def test_the_alerts_see_what_happened_and_nothing_else(scraped: tuple[Prometheus, str]) -> None:
    server, instance = scraped
    firing = set()
    for rule in alerts():
        query, _, threshold = rule["data"]
        evaluator = threshold["model"]["conditions"][0]["evaluator"]
        for series in server.query(substituted(query["model"]["expr"], instance, MACHINES)):
            if fires(evaluator, float(series["value"][1])):
                firing.add((rule["title"], series["metric"].get("machine", "")))
    # the story ends with the pump's alarm cleared, and both machines' last scores high
    assert firing == {
        ("AsdAnomaly", "fan/id_00"),
        ("AsdScoreHigh", "fan/id_00"),
        ("AsdScoreHigh", "pump"),
        ("AsdAudioLost", "fan/id_00"),
        ("AsdAudioLost", "pump"),
    }


def test_every_series_that_an_expression_names_exists() -> None:
    metrics = Metrics(CollectorRegistry())
    known = set()
    for metric in metrics.registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        known |= {metric.name + suffix for suffix in suffixes.get(metric.type, [""])}
    named = {
        name
        for text in [
            *(each.text for each in expressions()),
            *(rule["expr"] for rule in prometheus_rules()),
            *(str(each.get("definition", "")) for each in dashboard()["templating"]["list"]),
        ]
        for name in re.findall(r"\basd_\w+", text)
    }
    assert named
    assert named <= known
