"""Check the history: readable, intact, and written."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import StateError
from asd_monitor.history.database import (
    FILE_NAME,
    NewerHistoryError,
    is_damage,
    open_to_read,
)
from asd_monitor.history.settings import HistorySettings
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.storage.database_files import list_set_aside

MAX_CHECKED_BYTES = 500_000_000
"""A larger database is read in part only, because checking all of it takes long."""


def check_history(context: Context) -> list[Finding]:
    """Check the database in the state folder, and report damaged ones that were set aside."""
    if context.config.sink_settings(HistorySettings) is None:
        return [ok("history", "off: no scores and events are kept")]
    root = StateFolder.locate(context.config.state_dir, os.environ).root
    path = root / FILE_NAME
    findings = [_check_set_aside(list_set_aside(path))] if list_set_aside(path) else []
    if not path.exists():
        return [*findings, ok("history", f"{path} will be created")]
    size = path.stat().st_size
    try:
        with closing(open_to_read(path, upgrade_later=True)) as connection:
            problem = _find_damage(connection, size)
    except NewerHistoryError as error:
        message, _, hint = str(error).rpartition("; ")
        return [*findings, failed("history", message, hint, StateError)]
    except (StateError, sqlite3.Error) as error:
        problem = str(error) if is_damage(error) else ""
        if not problem:
            hint = "run this as the user of the monitor, or correct the owner of the file"
            return [*findings, warning("history", str(error), hint)]
    if problem:
        hint = (
            "stop the monitor and move the file away, or restore a backup (docs/history.md); "
            "otherwise the monitor sets it aside when it meets the damage"
        )
        message = f"{path} is damaged: {problem}"
        return [*findings, failed("history", message, hint, StateError)]
    return [*findings, ok("history", f"{path}: {size / 1e6:.1f} MB, intact", size_bytes=size)]


def _check_set_aside(files: list[Path]) -> Finding:
    newest = time.strftime("%Y-%m-%d %H:%M", time.localtime(files[-1].stat().st_mtime))
    message = f"{len(files)} damaged database(s) were set aside, the newest: {files[-1].name}"
    hint = "check the disk (smartctl), then delete the file if nothing in it is needed"
    return warning("history", f"{message} (last written {newest})", hint, set_aside=len(files))


def _find_damage(connection: sqlite3.Connection, size: int) -> str:
    if size > MAX_CHECKED_BYTES:
        connection.execute("SELECT count(*) FROM event").fetchone()
        return ""
    row = connection.execute("PRAGMA quick_check(1)").fetchone()
    return "" if row[0] == "ok" else str(row[0])
