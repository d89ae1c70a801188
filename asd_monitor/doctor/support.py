"""A file for support: findings, versions, settings without secrets, and the end of the log."""

import io
import json
import os
import platform
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import yaml

from asd_monitor import __version__
from asd_monitor.doctor.finding import Finding
from asd_monitor.doctor.masking import find_secrets, mask_settings, mask_text, read_secrets
from asd_monitor.doctor.report import format_lines, to_dict
from asd_monitor.errors import AsdMonitorError, ConfigError, StateError
from asd_monitor.history.database import FILE_NAME
from asd_monitor.history.export import event_to_dict
from asd_monitor.history.reader import HistoryReader
from asd_monitor.settings_file import read
from asd_monitor.storage.database_files import list_set_aside

ENDINGS = (".tar.gz", ".tgz", ".zip")
LOG_LINES = 2000
JOURNAL_TIMEOUT_S = 20.0
MAX_LOG_BYTES = 4_000_000
MAX_EVENTS = 50


def write_support_file(
    out: Path,
    findings: Sequence[Finding],
    root: Path,
    *,
    config: Path | None,
    log: Path | None,
    unit: str,
) -> list[str]:
    """Write an archive that contains no sound and no secret; return its files' names.

    Parameters
    ----------
    out
        The file: ``.tar.gz``, ``.tgz`` or ``.zip``.
    findings
        Of the doctor.
    root
        The state folder.
    config
        The configuration file; None if there is none.
    log
        File of log lines; None: the journal of ``unit`` is asked.
    unit
        Name of the systemd unit.

    Raises
    ------
    ConfigError
        If the name of the file has another ending.
    StateError
        If the file exists or cannot be written.
    """
    check_name(out)
    settings, secrets = _read_settings(config)
    contents = {
        "doctor.txt": "\n".join(line for item in findings for line in format_lines(item)) + "\n",
        "doctor.json": json.dumps(to_dict(list(findings)), indent=2),
        "versions.txt": _describe_versions(),
        "state-folder.txt": _list_state_folder(root),
        "history.json": json.dumps(_describe_history(root / FILE_NAME), indent=2),
        "configuration.yaml": settings,
        "log.txt": _read_log(log, unit),
    }
    masked = {name: mask_text(text, secrets) for name, text in contents.items()}
    _write_archive(out, masked)
    return list(masked)


def check_name(out: Path) -> None:
    """Raise ConfigError if the name of a support file does not say which archive it is."""
    if not out.name.lower().endswith(ENDINGS):
        msg = f"{out}: expected a name that ends with {', '.join(ENDINGS)}"
        raise ConfigError(msg)


def _read_settings(config: Path | None) -> tuple[str, frozenset[str]]:
    """Return the settings without secrets, and the secrets."""
    if config is None:
        return "# no --config was given\n", frozenset()
    try:
        values = read(config).values
    except AsdMonitorError as error:
        # The text itself is left out: without its structure, secrets in it cannot be found.
        return f"# {error}\n", frozenset()
    text = yaml.safe_dump(mask_settings(values), sort_keys=False, allow_unicode=True)
    return f"# from {config}\n{text}", find_secrets(values) | read_secrets(values, os.environ)


def _describe_versions() -> str:
    names = [
        "torch",
        "onnxruntime",
        "numpy",
        *(_package_name(line) for line in requires("asd-monitor") or []),
    ]
    lines = [
        f"asd-monitor {__version__}",
        f"Python {platform.python_version()}",
        platform.platform(),
        f"processors: {os.cpu_count()}",
        f"time: {time.strftime('%Y-%m-%dT%H:%M:%S%z')}",
    ]
    for name in sorted(set(names)):
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name}: not installed")
    return "\n".join(lines) + "\n"


def _package_name(requirement: str) -> str:
    for index, character in enumerate(requirement):
        if not (character.isalnum() or character in "._-"):
            return requirement[:index]
    return requirement


def _list_state_folder(root: Path) -> str:
    """Return the names and sizes of the files in the state folder, without their content."""
    lines = [str(root)]
    for path in sorted(root.rglob("*"))[:5000]:
        try:
            size = path.stat().st_size
        except OSError as error:
            lines.append(f"{path.relative_to(root)}: {error.strerror}")
            continue
        if path.is_file():
            lines.append(f"{size:>14} {path.relative_to(root)}")
    return "\n".join(lines) + "\n"


def _describe_history(path: Path) -> dict[str, Any]:
    reader = HistoryReader(path)
    now_s = time.time()
    try:
        events = reader.events(limit=MAX_EVENTS)
        machines = {
            machine: {
                "last_score_s_ago": _ago(now_s, reader.last_score_s(machine)),
                "time_in_state_of_last_week_s": {
                    str(state): seconds
                    for state, seconds in reader.time_in_state(
                        machine, now_s - 7 * 86_400, now_s
                    ).items()
                },
            }
            for machine in reader.machines()
        }
    except AsdMonitorError as error:
        return {"error": str(error)}
    return {
        "size_bytes": path.stat().st_size,
        "set_aside": [file.name for file in list_set_aside(path)],
        "machines": machines,
        "events": [event_to_dict(event) for event in events],
    }


def _ago(now_s: float, at_s: float | None) -> float | None:
    return None if at_s is None else round(now_s - at_s, 1)


def _read_log(log: Path | None, unit: str) -> str:
    """Return the last lines of a log file, or of the journal."""
    if log is not None:
        try:
            with log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_LOG_BYTES))
                text = file.read().decode(errors="replace")
        except OSError as error:
            return f"{log}: cannot be read: {error.strerror}\n"
        return "".join(text.splitlines(keepends=True)[-LOG_LINES:])
    command = ["journalctl", "--no-pager", "-o", "short-iso", "-n", str(LOG_LINES), "-u", unit]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=JOURNAL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no journal: {error}; give the log with --log\n"
    return done.stdout[-MAX_LOG_BYTES:] or f"no journal of {unit}: {done.stderr}\n"


def _write_archive(out: Path, contents: dict[str, str]) -> None:
    files = {
        f"asd-monitor-support/{name}": text.encode(errors="replace")
        for name, text in contents.items()
    }
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            if out.suffix.lower() == ".zip":
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                    for name, data in files.items():
                        archive.writestr(name, data)
            else:
                with tarfile.open(fileobj=file, mode="w:gz") as tar:
                    for name, data in files.items():
                        info = tarfile.TarInfo(name)
                        info.size, info.mtime, info.mode = len(data), int(time.time()), 0o600
                        tar.addfile(info, io.BytesIO(data))
    except FileExistsError as error:
        msg = f"{out}: the file exists; choose another name"
        raise StateError(msg) from error
    except OSError as error:
        msg = f"{out}: cannot be written: {error.strerror}"
        raise StateError(msg) from error
