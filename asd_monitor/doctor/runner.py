"""Run all checks in turn, each with a timeout, whatever happens in them."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from asd_monitor.doctor import (
    clock,
    delivery,
    history,
    model,
    notifications,
    outbox,
    runtime,
    sound,
    state_folder,
    systemd,
)
from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, Status, failed
from asd_monitor.errors import AsdMonitorError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """A named check with its timeout in seconds."""

    name: str
    run: Callable[[], list[Finding]]
    timeout_s: float = 10.0


def list_checks(context: Context, environ: Mapping[str, str] = os.environ) -> list[Check]:
    """Return the checks in the order in which problems should be solved."""
    return [
        Check("python", runtime.check_python),
        Check("processors", lambda: runtime.check_processors(context)),
        Check("torch", runtime.check_torch, 90.0),
        Check("gpu", lambda: runtime.check_gpu(context), 60.0),
        Check("portaudio", sound.check_portaudio, 40.0),
        Check("devices", lambda: sound.check_devices(context), 40.0),
        Check("capture", lambda: sound.check_capture(context), 60.0),
        Check("recordings", lambda: sound.check_recordings(context), 30.0),
        Check("model", lambda: model.check_models(context), 120.0),
        Check("mqtt", lambda: delivery.check_mqtt(context), 40.0),
        Check("notify", lambda: notifications.check_notifications(context), 60.0),
        Check("metrics", lambda: delivery.check_metrics_port(context), 10.0),
        Check("state folder", lambda: state_folder.check_state(context), 20.0),
        Check("history", lambda: history.check_history(context), 60.0),
        Check("outbox", lambda: outbox.check_outbox(context), 60.0),
        Check("clock", clock.check_clock),
        Check("systemd", lambda: systemd.check_systemd(environ)),
    ]


def run_checks(checks: list[Check]) -> Iterator[Finding]:
    """Run the checks one after the other; an error or a timeout becomes a finding.

    Yields
    ------
    Finding
        Each as soon as its check has ended.
    """
    for check in checks:
        yield from _run(check)


def exit_code(findings: list[Finding]) -> int:
    """Return the exit code of the first failure, or 0 if there is none."""
    return next((finding.exit_code for finding in findings if finding.status is Status.FAILED), 0)


def _run(check: Check) -> list[Finding]:
    findings: list[Finding] = []

    def work() -> None:
        try:
            findings.extend(check.run())
        except Exception as error:  # top of the thread: report it as a finding
            logger.debug("check %s failed", check.name, exc_info=error)
            message = f"the check itself failed: {error!r}"
            hint = "please report this as a bug in asd-monitor"
            findings.append(failed(check.name, message, hint, AsdMonitorError))

    thread = threading.Thread(target=work, name=f"doctor {check.name}", daemon=True)
    thread.start()
    thread.join(check.timeout_s)
    if thread.is_alive():
        message = f"did not finish within {check.timeout_s:.0f} s"
        hint = "a driver, disk or name server hangs; see `dmesg`"
        return [*findings, failed(check.name, message, hint, AsdMonitorError)]
    return findings
