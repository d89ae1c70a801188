"""The state folder: writable, and room for how many hours of recordings."""

import os
import shutil
import tempfile
from pathlib import Path

from asd_monitor.doctor.context import Case
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import StateError
from asd_monitor.runtime.state_dir import StateFolder

BYTES_PER_HOUR = 16_000 * 3 * 3600
"""Commissioning keeps 24-bit samples at 16 kHz: 173 MB an hour for each machine."""
LEAST_FREE_BYTES = 50_000_000
FEW_HOURS = 1.0


def check_state(case: Case) -> list[Finding]:
    """Tell whether models and recordings can be kept."""
    root = StateFolder.locate(case.config.state_dir, os.environ).root
    there = root
    while not there.exists() and there != there.parent:
        there = there.parent
    advice = "choose another folder with --state-dir or state_dir, or correct its owner"
    if not there.is_dir():
        told = f"{root}: {there} is not a folder"
        return [failed("state folder", told, advice, StateError)]
    reason = _why_not_writable(there)
    if reason:
        told = f"{root}: cannot be written: {reason}"
        return [failed("state folder", told, advice, StateError)]
    made = "can be written" if there == root else "can be made"
    return [ok("state folder", f"{root} {made}"), _room(there, len(case.config.machines))]


def _why_not_writable(folder: Path) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"asd-monitor doctor")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _room(folder: Path, machines: int) -> Finding:
    free = shutil.disk_usage(folder).free
    hours = free / BYTES_PER_HOUR / machines
    told = f"{free / 1e9:.1f} GB free: {hours:.0f} hours of recordings of each machine"
    facts = {"free_bytes": free, "hours": round(hours, 1)}
    if free < LEAST_FREE_BYTES:
        return failed("disk", told, "free some room, or take another disk", StateError, **facts)
    if hours < FEW_HOURS:
        return warning("disk", told, "free some room, or take another disk", **facts)
    return ok("disk", told, **facts)
