"""The expressions of the dashboard and the alerts on a real Prometheus, with known records."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.records import State
from asd_monitor.sinks.prometheus.settings import PrometheusSettings
from asd_monitor.sinks.prometheus.sink import PrometheusSink
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.metrics_scenario import MACHINES, emit_round
from tests.rig.monitoring_files import (
    dashboard,
    evaluate,
    expressions,
    firing_alerts,
    panels,
    prometheus_rules,
    substituted,
)
from tests.rig.mosquitto import wait_until
from tests.rig.prometheus import Prometheus, running_prometheus
from tests.rig.records import event


def make_metrics() -> Metrics:
    metrics = Metrics(CollectorRegistry())
    metrics.add_machines(MACHINES)
    return metrics


@contextmanager
def scraping(sink: PrometheusSink, folder: Path) -> Iterator[Prometheus]:
    sink.open()
    try:
        with running_prometheus(folder, f"127.0.0.1:{sink.port}") as server:
            server.wait_for("asd_windows_total")
            yield server
    finally:
        sink.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped a sink during five rounds of records of two machines."""
    metrics = make_metrics()
    sink = PrometheusSink(PrometheusSettings(port=0), metrics)
    emit_round(sink)  # before the first scrape, so that the sources are up from the start
    with scraping(sink, tmp_path_factory.mktemp("prometheus")) as server:
        scored = {"machine": "pump", "result": "scored"}
        for number in range(1, 5):
            emit_round(sink, number)
            count = metrics.registry.get_sample_value("asd_windows_total", scored)
            server.wait_for(f'asd_windows_total{{machine="pump",result="scored"}} == {count}')
        yield server


def test_exactly_the_expected_alerts_fire(server: Prometheus) -> None:
    # The first test: the alerts need windows of the last minute. At the end of the rounds the
    # pump's alarm is cleared, and both last scores are high.
    expected = {
        ("AsdAnomaly", "fan/id_00"),
        ("AsdScoreHigh", "fan/id_00"),
        ("AsdScoreHigh", "pump"),
        ("AsdAudioLost", "fan/id_00"),
        ("AsdAudioLost", "pump"),
    }
    # A scrape that fails on a busy computer makes the series stale until the next one.
    with suppress(AssertionError):
        wait_until(lambda: firing_alerts(server, MACHINES) == expected, "the alerts")
    assert firing_alerts(server, MACHINES) == expected


def test_the_score_panel_shows_the_score_and_its_limits_of_each_machine(
    server: Prometheus,
) -> None:
    (panel,) = (panel for panel in panels() if panel.get("repeat") == "machine")
    names = [target["legendFormat"].removesuffix(" {{instance}}") for target in panel["targets"]]
    assert names == ["score", "threshold", "normal range"]
    for target in panel["targets"]:
        samples = evaluate(server, target["expr"], MACHINES)
        assert {sample["metric"]["machine"] for sample in samples} == set(MACHINES)


def test_the_machines_of_an_unreachable_monitor_are_shown_as_unknown(tmp_path: Path) -> None:
    (panel,) = (panel for panel in panels() if panel["title"] == "State")
    (target,) = panel["targets"]
    assert target["instant"] is True
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    text_of = {code: option["text"] for code, option in mapping["options"].items()}
    metrics = make_metrics()
    sink = PrometheusSink(PrometheusSettings(port=0), metrics)
    for machine in MACHINES:
        metrics.observe_state(machine, State.NORMAL)
    with scraping(sink, tmp_path) as server:
        server.wait_for('asd_state{state="NORMAL"} == 1')
        for state in (State.NORMAL, State.UNKNOWN):
            if state is State.UNKNOWN:
                sink.close()
                server.wait_for("up == 0")
            samples = evaluate(server, target["expr"], MACHINES)
            assert [text_of[sample["value"][1]] for sample in samples] == [state] * len(MACHINES)


def test_an_alarm_is_linked_to_the_page_of_its_event(tmp_path: Path) -> None:
    annotation = dashboard()["annotations"]["list"][1]
    (panel,) = (panel for panel in panels() if panel["title"] == "Events")
    metrics = make_metrics()
    url = "https://monitor.example.com/"
    sink = PrometheusSink(PrometheusSettings(port=0), metrics, external_url=url)
    for state, event_id in ((State.WARNING, "e1"), (State.ALARM, "e2")):
        machine = MACHINES[state is State.ALARM]
        sink.emit(replace(event("t", state, machine), event_id=event_id))
    with scraping(sink, tmp_path) as server:
        server.wait_for("asd_alarm_state == 1")
        (sample,) = evaluate(server, annotation["expr"], MACHINES)
        assert sample["metric"]["url"] == "https://monitor.example.com/events/e2"
        assert '<a href="{{url}}"' in annotation["textFormat"]
        rows = evaluate(server, panel["targets"][0]["expr"], MACHINES)
        assert {row["metric"]["event_id"] for row in rows} == {"e1", "e2"}


def test_the_variables_offer_what_was_scraped(server: Prometheus) -> None:
    offered = {}
    for variable in dashboard()["templating"]["list"]:
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", ""))
        if match is not None:
            selector, label = match.groups()
            values = server.label_values(label, substituted(selector, server.target, MACHINES))
            offered[variable["name"]] = sorted(values)
    assert offered == {"instance": [server.target], "machine": sorted(MACHINES)}


def test_every_series_in_an_expression_exists() -> None:
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    existing = {
        metric.name + suffix
        for metric in Metrics(CollectorRegistry()).registry.collect()
        for suffix in suffixes.get(metric.type, [""])
    }
    texts = [
        *(expression.text for expression in expressions()),
        *(rule["expr"] for rule in prometheus_rules()),
        *(str(variable.get("definition")) for variable in dashboard()["templating"]["list"]),
    ]
    used = {name for text in texts for name in re.findall(r"\basd_\w+", text)}
    assert used
    assert used <= existing
