"""Checks run one after the other; a failure or a hang of one does not stop the others."""

import threading

from asd_monitor.doctor.finding import Finding, Status, failed, ok, warning
from asd_monitor.doctor.runner import Check, exit_code, run_checks
from asd_monitor.errors import SourceError, StateError


def test_a_check_that_raises_is_a_finding_and_the_others_still_run() -> None:
    def broken() -> list[Finding]:
        raise ZeroDivisionError

    checks = [Check("broken", broken), Check("working", lambda: [ok("working", "works")])]
    findings = list(run_checks(checks))
    assert [finding.status for finding in findings] == [Status.FAILED, Status.OK]
    assert "ZeroDivisionError" in findings[0].message


def test_a_check_that_hangs_is_abandoned() -> None:
    end = threading.Event()
    checks = [Check("hung", lambda: [ok("hung", str(end.wait(60)))], timeout_s=0.05)]
    (finding,) = run_checks(checks)
    end.set()
    assert finding.status is Status.FAILED
    assert "did not finish" in finding.message


def test_the_exit_code_is_that_of_the_first_failure() -> None:
    findings = [
        warning("a", "could be better", "do it"),
        failed("b", "is wrong", "correct it", StateError),
        failed("c", "is wrong", "correct it", SourceError),
    ]
    assert exit_code(findings) == StateError.exit_code
    assert exit_code(findings[:1]) == 0
