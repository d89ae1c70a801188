"""SIGHUP reloads the configuration of a real process, with virtual microphones and brokers."""

import json
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.ports import free_port
from tests.rig.raw_http import request
from tests.rig.reloaded_monitor import ReloadedMonitor
from tests.rig.toy_model import RATE_HZ, save_toy
from tests.rig.virtual_microphone import MakeMicrophones, VirtualSound

NOISE = (1600 * np.random.default_rng(5).normal(0, 1, 120 * RATE_HZ)).astype(np.int16)


@pytest.fixture
def environment(tmp_path: Path, virtual_microphones: MakeMicrophones) -> dict[str, str]:
    save_toy(tmp_path / "toy.asd")
    return virtual_microphones(pump=VirtualSound(NOISE), fan=VirtualSound(NOISE)).environment


def machine(folder: Path, name: str, **settings: object) -> dict[str, Any]:
    model = {"model": str(folder / "toy.asd"), "target": "pump"}
    return {"mic": {"device": name}, **model, **settings}


@pytest.mark.real_time
def test_machines_are_added_changed_and_removed_without_a_gap_in_the_windows_of_the_others(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    machines = {"pump": machine(tmp_path, "pump")}
    with ReloadedMonitor(tmp_path, {"machines": machines}, environment) as monitor:
        monitor.wait_for("UNKNOWN -> ")
        assert monitor.metric("asd_config_last_reload_successful") == 1
        started_s = monitor.metric("asd_config_last_reload_success_timestamp_seconds")
        monitor.config["machines"]["fan"] = machine(tmp_path, "fan")
        assert "reloaded: fan added" in monitor.reload()
        monitor.wait_for_scores("fan")
        threshold = monitor.scores("pump")[-1]["threshold"]
        monitor.config["machines"]["pump"]["alarm"] = {"false_alarms_per_month": 100}
        assert "reloaded: alarm of pump changed" in monitor.reload()
        wait_until(lambda: monitor.scores("pump")[-1]["threshold"] != threshold, "a threshold")
        monitor.config["machines"]["fan"]["target"] = "fan"
        monitor.config["machines"]["fan"]["name"] = "The fan"
        assert "reloaded: fan restarted" in monitor.reload()
        monitor.wait_for_scores("fan")
        assert monitor.scores("fan")[-1]["model"]["target"] == "fan"
        del monitor.config["machines"]["fan"]
        monitor.config["node"] = "other"
        line = monitor.reload()
        assert "reloaded: fan removed; used after a restart only: node" in line
        monitor.wait_for_scores("pump")
        monitor.assert_no_gap("pump")
        assert "audio was lost" not in monitor.log
        assert monitor.metric("asd_config_last_reload_success_timestamp_seconds") > started_s
        reloads = [each for each in monitor.notified() if "RELOADING" in each]
        assert len(reloads) == 4
        assert all(float(each["MONOTONIC_USEC"]) <= time.monotonic() * 1e6 for each in reloads)
        assert [each.get("READY") for each in monitor.notified()].count("1") == 5


@pytest.mark.real_time
def test_a_broken_file_keeps_the_old_settings_and_many_signals_do_no_harm(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    machines = {"pump": machine(tmp_path, "pump")}
    with ReloadedMonitor(tmp_path, {"machines": machines}, environment) as monitor:
        monitor.wait_for("UNKNOWN -> ")
        good = dict(monitor.config)
        monitor.config = good | {"alarm": {"hold_s": -1}}
        line = monitor.reload()
        assert "ERROR" in line
        assert "the former settings remain in use" in line
        assert f"{monitor.path}:" in line
        assert monitor.metric("asd_config_last_reload_successful") == 0
        monitor.config = good | {"machines": machines | {"fan": {"wav": "x", "model": "none.asd"}}}
        assert "none.asd" in monitor.reload()
        with socket.create_server(("127.0.0.1", 0)) as other:
            monitor.config = good | {"prometheus": {"port": other.getsockname()[1]}}
            assert "prometheus: cannot listen" in monitor.reload()
        assert monitor.metric("asd_config_last_reload_successful") == 0
        monitor.config = good
        assert "nothing has changed" in monitor.reload()
        assert monitor.metric("asd_config_last_reload_successful") == 1
        for _ in range(20):
            monitor.hang_up()
            time.sleep(0.02)
        monitor.hang_up()
        monitor.hang_up()
        monitor.wait_for_scores("pump")
        monitor.assert_no_gap("pump")
        assert monitor.scores("fan") == []
        assert "Traceback" not in monitor.log


@pytest.mark.real_time
def test_another_broker_gets_what_waits_and_a_moved_score_file_is_begun_again(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with Mosquitto(tmp_path) as broker, Collector(broker.port) as subscriber:
        settings = {
            "machines": {"pump": machine(tmp_path, "pump")},
            "mqtt": {"host": "127.0.0.1", "port": 1, "reconnect_min_s": 1},
        }
        with ReloadedMonitor(tmp_path, settings, environment) as monitor:
            monitor.wait_for("UNKNOWN -> ")
            monitor.wait_for_scores("pump")
            monitor.config["mqtt"]["port"] = broker.port
            moved = monitor.scores_path.rename(tmp_path / "scores.jsonl.old")
            size = moved.stat().st_size
            assert "reloaded: mqtt restarted" in monitor.reload()
            monitor.wait_for_scores("pump")

            def windows() -> set[int]:
                return {
                    json.loads(message.payload)["window"]
                    for message in list(subscriber.messages)
                    if message.topic in ("asd/test/pump/score", "asd/test/pump/backlog")
                }

            newest = monitor.scores("pump")[-1]["window"]
            wait_until(lambda: windows() >= set(range(newest)), "all scores at the broker")
            assert moved.stat().st_size - size < 2000  # a line that was being written
            monitor.assert_no_gap("pump")


@pytest.mark.real_time
def test_a_reload_during_learning_does_not_disturb_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    machines = {
        "pump": {"mic": {"device": "pump"}, "learn": {"minutes": 5}},
        "fan": machine(tmp_path, "fan"),
    }
    with ReloadedMonitor(tmp_path, {"machines": machines}, environment) as monitor:
        monitor.wait_for("fan: UNKNOWN -> ")
        monitor.wait_for("pump: UNKNOWN -> LEARNING")
        monitor.config["alarm"] = {"hold_s": 5}
        monitor.config["machines"]["pump"]["alarm"] = {}
        assert "alarm of fan changed" in monitor.reload()
        assert monitor.log.count("LEARNING") == 1
        monitor.config["machines"]["pump"]["learn"]["minutes"] = 6
        assert "reloaded: pump restarted" in monitor.reload()
        monitor.wait_for("pump: UNKNOWN -> LEARNING", 2)
        monitor.assert_no_gap("fan")


@pytest.mark.real_time
def test_accounts_that_cannot_be_read_turn_the_page_off_and_not_the_monitor(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "state").mkdir()
    damaged = tmp_path / "state" / "access.db"
    damaged.write_bytes(b"damaged" * 1000)
    port = free_port()
    settings = {"machines": {"pump": machine(tmp_path, "pump")}, "web": {"port": port}}
    with ReloadedMonitor(tmp_path, settings, environment) as monitor:
        monitor.wait_for("monitored without the web page: ")
        assert "access.db: the accounts of the web page cannot be read" in monitor.log
        monitor.wait_for_scores("pump")
        with pytest.raises(ConnectionRefusedError):
            request(port, "GET", "/")
    assert damaged.read_bytes() == b"damaged" * 1000


@pytest.mark.real_time
def test_settings_saved_on_the_page_are_used_without_a_restart_or_a_gap(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    port = free_port()
    settings = {"machines": {"pump": machine(tmp_path, "pump")}, "web": {"port": port}}
    with ReloadedMonitor(tmp_path, settings, environment) as monitor:
        monitor.wait_for("UNKNOWN -> ")
        monitor.wait_for_scores("pump")
        threshold = monitor.scores("pump")[-1]["threshold"]
        headers = {
            "Origin": f"http://127.0.0.1:{port}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        answer = request(port, "POST", "/settings/sensitivity", headers, b"sensitivity=low")
        assert answer.status == 303
        monitor.wait_for("changed on the page: alarm of pump changed")
        wait_until(lambda: monitor.scores("pump")[-1]["threshold"] != threshold, "a threshold")
        assert b"Restart the monitor" not in request(port, "GET", "/settings").body
        monitor.assert_no_gap("pump")
        assert "nothing has changed" in monitor.reload()
