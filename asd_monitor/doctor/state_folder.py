"""Check the state folder: writable, with room for recordings."""

import os
import shutil
import tempfile
from pathlib import Path

from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import StateError
from asd_monitor.runtime.state_dir import StateFolder

BYTES_PER_HOUR = 16_000 * 3 * 3600
"""Commissioning stores 24-bit samples at 16 kHz: 173 MB per hour and machine."""
MIN_FREE_BYTES = 50_000_000
MIN_HOURS = 1.0


def check_state(context: Context) -> list[Finding]:
    """Check that models and recordings can be stored."""
    root = StateFolder.locate(context.config.state_dir, os.environ).root
    existing = root
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    hint = "choose another folder with --state-dir or state_dir, or correct its owner"
    if not existing.is_dir():
        message = f"{root}: {existing} is not a folder"
        return [failed("state folder", message, hint, StateError)]
    error = _try_to_write(existing)
    if error:
        message = f"{root}: cannot be written: {error}"
        return [failed("state folder", message, hint, StateError)]
    state = "can be written" if existing == root else "will be created"
    room = _check_room(existing, len(context.config.machines))
    return [ok("state folder", f"{root} {state}"), room]


def _try_to_write(folder: Path) -> str:
    """Return why a file cannot be written in the folder; empty if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"asd-monitor doctor")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _check_room(folder: Path, machines: int) -> Finding:
    free = shutil.disk_usage(folder).free
    hours = free / BYTES_PER_HOUR / max(machines, 1)
    message = f"{free / 1e9:.1f} GB free: {hours:.0f} hours of recordings of each machine"
    facts = {"free_bytes": free, "hours": round(hours, 1)}
    hint = "free some space, or use another disk"
    if free < MIN_FREE_BYTES:
        return failed("disk", message, hint, StateError, **facts)
    if hours < MIN_HOURS:
        return warning("disk", message, hint, **facts)
    return ok("disk", message, **facts)
