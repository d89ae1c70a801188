"""A clock that cannot be trusted is reported in the log, the metrics and the health."""

import logging

import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.records import SourceHealth, SourceState
from asd_monitor.sinks.payloads import health_payload
from asd_monitor.telemetry.clock_watch import ClockWatch
from asd_monitor.telemetry.series_factory import SeriesFactory


class Clocks:
    """A wall clock that can be set, and a steady one."""

    def __init__(self) -> None:
        self.wall_s = 1_800_000_000.0
        self.steady_s = 100.0
        self.synchronised: bool | None = True
        self.registry = CollectorRegistry()
        self.watch = ClockWatch(
            SeriesFactory(self.registry),
            lambda: self.wall_s,
            lambda: self.steady_s,
            lambda: self.synchronised,
        )

    def check_after(self, seconds: float) -> bool:
        self.wall_s += seconds
        self.steady_s += seconds
        return self.watch.check()

    def read(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def test_a_clock_that_is_set_back_is_reported_until_it_shows_new_times(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clocks = Clocks()
    assert not clocks.check_after(10)
    clocks.wall_s -= 3600
    assert clocks.check_after(5)
    assert "set back by 3600 s" in caplog.text
    assert clocks.read("asd_clock_unsynced") == 1
    assert clocks.read("asd_clock_steps_total", direction="back") == 1
    assert clocks.check_after(3000)
    assert not clocks.check_after(600)
    assert clocks.read("asd_clock_unsynced") == 0
    assert clocks.read("asd_clock_steps_total", direction="forward") == 0


def test_a_clock_that_is_set_forward_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    clocks.wall_s += 86400
    assert not clocks.check_after(5)
    assert "set forward by 86400 s" in caplog.text
    assert clocks.read("asd_clock_steps_total", direction="forward") == 1


def test_a_clock_that_nothing_synchronises_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clocks = Clocks()
    clocks.synchronised = False
    assert clocks.check_after(5)
    assert clocks.check_after(5)
    assert caplog.text.count("not synchronised") == 1
    clocks.synchronised = None
    assert not clocks.check_after(5)
    clocks.synchronised = True
    assert not clocks.check_after(5)
    assert "synchronised again" in caplog.text


def test_the_health_says_that_times_may_be_wrong() -> None:
    health = SourceHealth(
        "pump", SourceState.RUNNING, "", "mic", 0, 0, 0, 0, None, clock_unsynced=True
    )
    assert health_payload(health, "plant-1", 0.0)["clock_unsynced"] is True
