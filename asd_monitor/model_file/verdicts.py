"""Remember the results of trials of model files, so that a restart does not repeat them."""

import json
import logging
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from asd_monitor import __version__
from asd_monitor.model_file import trial
from asd_monitor.model_file.runtimes import LIBRARIES, ChosenRuntime
from asd_monitor.model_file.scan import SCAN_VERSION
from asd_monitor.storage.durable import make_folder_durably, write_durably

MAX_VERDICTS = 1000
_FAILED_SUFFIX = ".failed.json"

logger = logging.getLogger(__name__)
_passed: set[tuple[str, ChosenRuntime]] = set()
_failed: dict[tuple[str, ChosenRuntime], str] = {}


def has_passed(folder: Path | None, sha256: str, runtime: ChosenRuntime) -> bool:
    """Return whether a file has passed a trial with the present rules and runtime."""
    if (sha256, runtime) in _passed:
        return True
    if folder is None:
        return False
    try:
        return bool(json.loads((folder / f"{sha256}.json").read_bytes()) == _conditions(runtime))
    except (OSError, ValueError):
        return False


def note_passed(folder: Path | None, sha256: str, runtime: ChosenRuntime) -> None:
    """Remember that a file has passed; without a folder that can be written, in this process."""
    _passed.add((sha256, runtime))
    _write(folder, f"{sha256}.json", _conditions(runtime))


def find_failure(folder: Path | None, sha256: str, runtime: ChosenRuntime) -> str:
    """Return why a file failed its trial with the present rules, limits and versions, if it did."""
    if (sha256, runtime) in _failed:
        return _failed[sha256, runtime]
    if folder is None:
        return ""
    try:
        noted = json.loads((folder / f"{sha256}{_FAILED_SUFFIX}").read_bytes())
        reason = noted.pop("reason")
        return str(reason) if noted == _failure_conditions(runtime) else ""
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return ""


def note_failed(folder: Path | None, sha256: str, runtime: ChosenRuntime, reason: str) -> None:
    """Remember why a file has failed, as :func:`note_passed`."""
    _failed[sha256, runtime] = reason
    _write(folder, f"{sha256}{_FAILED_SUFFIX}", {**_failure_conditions(runtime), "reason": reason})


def _write(folder: Path | None, name: str, values: dict[str, object]) -> None:
    if folder is None:
        return
    try:
        make_folder_durably(folder)
        _remove_old(folder)
        write_durably(folder / name, json.dumps(values).encode())
    except OSError as error:
        logger.debug("%s: cannot be written, so the trial is repeated: %s", folder, error.strerror)


def forget_passed() -> None:
    """Forget what this process remembers without a folder."""
    _passed.clear()
    _failed.clear()


def _conditions(runtime: ChosenRuntime) -> dict[str, object]:
    library = LIBRARIES[runtime]
    return {"scan": SCAN_VERSION, library: version(library)}


def _failure_conditions(runtime: ChosenRuntime) -> dict[str, object]:
    """Return what a failure depends on: also the limits, and the program, which may be improved."""
    limits = [trial.MAX_CPU_S, trial.CPU_S_PER_BYTE, trial.allowed_memory_bytes()]
    return {**_conditions(runtime), "program": __version__, "limits": limits}


def _remove_old(folder: Path) -> None:
    verdicts = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in verdicts[: max(0, len(verdicts) - MAX_VERDICTS + 1)]:
        with suppress(OSError):
            path.unlink()
