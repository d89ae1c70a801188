"""Remember which model files have passed their trial, so that a restart does not repeat it."""

import json
import logging
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from asd_monitor.model_file.scan import SCAN_VERSION
from asd_monitor.storage.durable import make_folder_durably, write_durably

MAX_VERDICTS = 1000

logger = logging.getLogger(__name__)
_passed: set[str] = set()


def has_passed(folder: Path | None, sha256: str) -> bool:
    """Return whether a file has passed a trial with the present rules and version of torch."""
    if sha256 in _passed:
        return True
    if folder is None:
        return False
    try:
        return bool(json.loads((folder / f"{sha256}.json").read_bytes()) == _conditions())
    except (OSError, ValueError):
        return False


def note_passed(folder: Path | None, sha256: str) -> None:
    """Remember that a file has passed; without a folder that can be written, in this process."""
    _passed.add(sha256)
    if folder is None:
        return
    try:
        make_folder_durably(folder)
        _remove_old(folder)
        write_durably(folder / f"{sha256}.json", json.dumps(_conditions()).encode())
    except OSError as error:
        logger.debug("%s: cannot be written, so the trial is repeated: %s", folder, error.strerror)


def forget_passed() -> None:
    """Forget what this process remembers without a folder."""
    _passed.clear()


def _conditions() -> dict[str, object]:
    return {"scan": SCAN_VERSION, "torch": version("torch")}


def _remove_old(folder: Path) -> None:
    verdicts = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in verdicts[: max(0, len(verdicts) - MAX_VERDICTS + 1)]:
        with suppress(OSError):
            path.unlink()
