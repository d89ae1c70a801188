"""The dashboard and the alerts on a monitor that really runs: the demo."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.rig.monitoring_files import alerts, expressions, fires, substituted
from tests.rig.mosquitto import free_port
from tests.rig.prometheus import Prometheus, running_prometheus


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, str]]:
    """A Prometheus that scrapes the demo, which has learned its pump and scores it."""
    instance = f"127.0.0.1:{free_port()}"
    folder = tmp_path_factory.mktemp("demo")
    command = "from asd_monitor.cli import main; main()"
    options = ["--duration", "120", "--plain", "--metrics-port", instance.partition(":")[2]]
    with (folder / "demo.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", command, "demo", *options], stdout=log, stderr=log
        )
    try:
        with running_prometheus(folder, instance) as server:
            scored = 'asd_windows_total{machine="pump",result="scored"}'
            server.wait_for(f"{scored} >= 4 and increase({scored}[10s]) > 0", limit_s=120)
            server.wait_for("asd_mqtt_connected == 1")
            yield server, instance
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_every_expression_has_data(demo: tuple[Prometheus, str]) -> None:
    server, instance = demo
    empty = [
        each.where
        for each in expressions()
        if not server.query(substituted(each.text, instance, ["pump"]))
    ]
    # an annotation has data while there is an alarm, and the pump runs well
    expected = {"annotation Alarms"}
    if not server.query(f'min_over_time(asd_source_up{{instance="{instance}"}}[5m]) == 1'):
        expected.add("alert AsdAudioLost")  # a scrape met the source while it opened
    assert set(empty) <= expected


def test_a_pump_that_runs_well_raises_no_alert(demo: tuple[Prometheus, str]) -> None:
    server, instance = demo
    server.wait_for('asd_state{state="NORMAL"} == 1', limit_s=120)
    for rule in alerts():
        query, _, threshold = rule["data"]
        evaluator = threshold["model"]["conditions"][0]["evaluator"]
        shown = server.query(substituted(query["model"]["expr"], instance, ["pump"]))
        values = [float(series["value"][1]) for series in shown]
        assert not any(fires(evaluator, value) for value in values), (rule["title"], values)
