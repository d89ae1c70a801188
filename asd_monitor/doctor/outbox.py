"""Check the outbox: readable, and sent."""

import os
import time
from pathlib import Path

from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import StateError
from asd_monitor.outbox.database import FILE_NAME, SPARKPLUG_FILE_NAME
from asd_monitor.outbox.stored import count_waiting
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.storage.database_files import list_set_aside
from asd_monitor.terminal.durations import format_rough_duration

OLD_S = 3600.0
"""A message that has waited for longer is reported."""


def check_outbox(context: Context) -> list[Finding]:
    """Check what waits for the broker, and report databases that were set aside.

    Sparkplug has an outbox of its own.
    """
    settings = context.config.sink_settings(MqttSettings)
    if settings is None:
        return [ok("outbox", "off: no broker is named")]
    if settings.outbox is None:
        hint = "remove `outbox: off` under mqtt:, so that a crash loses nothing"
        return [warning("outbox", "off: what waits for the broker is in memory only", hint)]
    root = StateFolder.locate(context.config.state_dir, os.environ).root
    findings = _check_file(root / FILE_NAME)
    if settings.sparkplug is not None:
        findings += _check_file(root / SPARKPLUG_FILE_NAME)
    return findings


def _check_file(path: Path) -> list[Finding]:
    findings = _check_set_aside(path)
    if not path.exists():
        return [*findings, ok("outbox", f"{path} will be created")]
    size_mb = path.stat().st_size / 1e6
    try:
        waiting = count_waiting(path)
    except StateError as error:
        hint = "the monitor sets an outbox that it cannot use aside at its start"
        return [*findings, failed("outbox", str(error), hint, StateError)]
    counts = f"{waiting.scores} scores and {waiting.events} events wait"
    if waiting.oldest_ms is not None:
        age_s = time.time() - waiting.oldest_ms / 1000
        counts += f", the oldest for {format_rough_duration(max(age_s, 0.0))}"
        if age_s > OLD_S:
            hint = "see the check mqtt: the broker, the network, or the login; is the monitor on?"
            return [*findings, warning("outbox", f"{path}: {counts}", hint)]
    return [*findings, ok("outbox", f"{path}: {size_mb:.1f} MB, {counts}")]


def _check_set_aside(path: Path) -> list[Finding]:
    findings = []
    if damaged := list_set_aside(path):
        message = (
            f"{len(damaged)} damaged database(s) were set aside, the newest: {damaged[-1].name}"
        )
        hint = "check the disk (smartctl), then delete the file"
        findings.append(warning("outbox", message, hint))
    if newer := list_set_aside(path, "newer"):
        message = f"{newer[-1].name} is of a newer asd-monitor, and what waits in it is not sent"
        hint = f"install the newer program, stop it, and rename the file to {path.name}"
        findings.append(warning("outbox", message, hint))
    return findings
