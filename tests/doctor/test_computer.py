"""Processors, state folder, clock and service manager."""

import os
import socket
from pathlib import Path

import pytest

from asd_monitor.doctor import clock, runtime, state_folder, systemd
from asd_monitor.doctor.finding import Status
from asd_monitor.errors import StateError
from tests.doctor.findings import make_context, only


def test_a_state_folder_that_can_be_created_is_ok_and_not_created(tmp_path: Path) -> None:
    findings = state_folder.check_state(make_context(state_dir=str(tmp_path / "a" / "b")))
    assert only(findings, "state folder").status is Status.OK
    assert float(only(findings, "disk").facts["hours"] or 0.0) > 0
    assert not list(tmp_path.iterdir())


def test_a_file_at_the_path_of_the_state_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    (finding,) = state_folder.check_state(make_context(state_dir=str(tmp_path / "state" / "here")))
    assert (finding.status, finding.exit_code) == (Status.FAILED, StateError.exit_code)


def test_a_state_folder_that_cannot_be_written_fails() -> None:
    # Not even root can write there.
    (finding,) = state_folder.check_state(make_context(state_dir="/proc/self"))
    assert (finding.status, finding.exit_code) == (Status.FAILED, StateError.exit_code)


@pytest.mark.parametrize("at", [0.0, 5e9])
def test_an_implausible_year_fails(at: float) -> None:
    (finding,) = clock.check_clock(wall=lambda: at)
    assert finding.status is Status.FAILED


def test_a_clock_that_is_set_during_the_check_is_reported() -> None:
    times = iter([1.8e9, 1.8e9 + 60])
    (finding,) = clock.check_clock(wall=lambda: next(times), monotonic=lambda: 0.0)
    assert finding.status is Status.WARNING
    assert "+60.0 s" in finding.message


@pytest.mark.parametrize(
    ("in_step", "status"), [(True, Status.OK), (False, Status.WARNING), (None, Status.OK)]
)
def test_a_clock_that_is_not_synchronised_is_reported(in_step: bool | None, status: Status) -> None:
    (finding,) = clock.check_clock(lambda: 1.8e9, lambda: 0.0, lambda: in_step)
    assert finding.status is status


def test_the_kernel_is_asked_whether_the_clock_is_synchronised() -> None:
    assert clock.is_synchronised() in (True, False, None)


def test_outside_of_systemd_nothing_is_checked() -> None:
    (finding,) = systemd.check_systemd({})
    assert finding.status is Status.OK


def test_a_service_without_notification_or_watchdog_is_reported(tmp_path: Path) -> None:
    silent = systemd.check_systemd({"INVOCATION_ID": "1"})[0]
    unreachable = systemd.check_systemd({"NOTIFY_SOCKET": str(tmp_path / "none")})[0]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        unwatched = systemd.check_systemd(environ)[0]
        watched = systemd.check_systemd(environ | {"WATCHDOG_USEC": "30000000"})[0]
    assert {finding.status for finding in (silent, unreachable, unwatched)} == {Status.WARNING}
    assert watched.status is Status.OK
    assert "30 s" in watched.message


@pytest.mark.parametrize(
    ("workers", "status", "text"),
    [
        (1, Status.OK, "2 processor(s), load 0.5; 1 thread scores"),
        ("auto", Status.OK, "2 processor(s), load 0.5; 2 threads score"),
        (3, Status.WARNING, "2 processor(s), load 0.5; 3 threads score"),
    ],
)
def test_more_threads_that_score_than_processors_are_reported(
    monkeypatch: pytest.MonkeyPatch, workers: int | str, status: Status, text: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 0.5, 0.5))
    context = make_context(inference={"workers": workers})
    (finding,) = runtime.check_processors(context)
    assert (finding.status, finding.message) == (status, text)
