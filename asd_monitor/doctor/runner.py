"""All checks in turn, each within its time, whatever it meets."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from asd_monitor.doctor import clock, delivery, model, runtime, sound, state_folder, systemd
from asd_monitor.doctor.context import Case
from asd_monitor.doctor.finding import Finding, Status, failed
from asd_monitor.errors import AsdMonitorError

logger = logging.getLogger(__name__)

Check = Callable[[], list[Finding]]


@dataclass(frozen=True, slots=True)
class Step:
    """A check, its name, and how long it may take, in seconds."""

    name: str
    check: Check
    limit_s: float = 10.0


def plan(case: Case, environ: Mapping[str, str] = os.environ) -> list[Step]:
    """Return the checks in the order in which trouble should be looked for."""
    return [
        Step("python", runtime.check_python),
        Step("processors", runtime.check_processors),
        Step("torch", runtime.check_torch, 90.0),
        Step("gpu", lambda: runtime.check_gpu(case), 60.0),
        Step("portaudio", sound.check_portaudio, 40.0),
        Step("devices", lambda: sound.check_devices(case), 40.0),
        Step("capture", lambda: sound.check_capture(case), 60.0),
        Step("recordings", lambda: sound.check_recordings(case), 30.0),
        Step("model", lambda: model.check_models(case), 120.0),
        Step("mqtt", lambda: delivery.check_mqtt(case), 40.0),
        Step("metrics", lambda: delivery.check_metrics_port(case), 10.0),
        Step("state folder", lambda: state_folder.check_state(case), 20.0),
        Step("clock", clock.check_clock),
        Step("systemd", lambda: systemd.check_systemd(environ)),
    ]


def examine(steps: list[Step]) -> Iterator[Finding]:
    """Run the checks one after the other; nothing is raised, and no check is waited for longer.

    Yields
    ------
    Finding
        Each as soon as its check has ended.
    """
    for step in steps:
        yield from _run(step)


def exit_code(findings: list[Finding]) -> int:
    """Return 0 if nothing failed, else the exit code of the first that did."""
    return next((each.exit_code for each in findings if each.status is Status.FAILED), 0)


def _run(step: Step) -> list[Finding]:
    findings: list[Finding] = []

    def work() -> None:
        try:
            findings.extend(step.check())
        except Exception as error:  # the thread's top: told as a finding
            logger.debug("check %s failed", step.name, exc_info=error)
            told = f"the check itself failed: {error!r}"
            advice = "please report this as a fault of asd-monitor"
            findings.append(failed(step.name, told, advice, AsdMonitorError))

    thread = threading.Thread(target=work, name=f"doctor {step.name}", daemon=True)
    thread.start()
    thread.join(step.limit_s)
    if thread.is_alive():
        told = f"did not end within {step.limit_s:.0f} s"
        advice = "a driver, disk or name server hangs; see `dmesg`"
        return [*findings, failed(step.name, told, advice, AsdMonitorError)]
    return findings
