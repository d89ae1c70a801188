"""The dashboard and the alerts with a running monitor: the demo."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.rig.monitoring_files import evaluate, expressions, firing_alerts
from tests.rig.mosquitto import wait_until
from tests.rig.ports import free_port
from tests.rig.prometheus import Prometheus, running_prometheus


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the demo, which has learned its pump and scores it."""
    port = free_port()
    folder = tmp_path_factory.mktemp("demo")
    command = "from asd_monitor.cli import main; main()"
    options = ["--duration", "120", "--plain", "--metrics-port", str(port)]
    with (folder / "demo.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", command, "demo", *options], stdout=log, stderr=log
        )
    try:
        with running_prometheus(folder, f"127.0.0.1:{port}") as server:
            scored = 'asd_windows_total{machine="pump",result="scored"}'
            server.wait_for(f"{scored} >= 4 and increase({scored}[10s]) > 0")
            server.wait_for("asd_mqtt_connected == 1")
            server.wait_for("count_over_time((asd_anomaly_score > -Inf)[1h:15s])")  # a whole step
            yield server
    finally:
        process.terminate()
        process.wait(timeout=400)


def test_every_expression_is_valid_and_has_data(server: Prometheus) -> None:
    empty = {
        expression.location
        for expression in expressions()
        if not evaluate(server, expression.text, ["pump"])
    }
    expected = {"annotation Alarms", "panel Events A"}  # which have data only with an event
    if not server.query("min_over_time(asd_source_up[5m]) == 1"):
        expected.add("alert AsdAudioLost")  # the source was still opening during a scrape
    assert empty <= expected


def test_a_normal_pump_raises_no_alert(server: Prometheus) -> None:
    def alerts_while_normal() -> set[str]:
        server.wait_for('asd_state{state="NORMAL"} == 1')
        return {title for title, _ in firing_alerts(server, ["pump"])}

    wait_until(lambda: alerts_while_normal() == set(), "the end of all alerts")
