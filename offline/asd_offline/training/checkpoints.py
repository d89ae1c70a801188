"""Checkpoints of one network: whole or not at all, and known to be what was written.

A checkpoint is a plain torch file called ``epoch-<number>-<first 16 digits of its SHA-256>.pt``.
The last two are kept: where the last one is damaged, training goes on from the one before.
"""

import hashlib
import io
import logging
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from asd_monitor.errors import ModelFileError, RunError
from asd_monitor.model_file.archive import write_atomically

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
KEPT = 2
_NAME = re.compile(r"epoch-(\d+)-([0-9a-f]{16})\.pt")


def write_checkpoint(folder: Path, epoch: int, state: Mapping[str, Any]) -> Path:
    """Write a checkpoint and remove all but the last two.

    Parameters
    ----------
    epoch
        How many epochs are done.
    state
        Tensors, numbers, texts, lists and dicts.

    Raises
    ------
    RunError
        If it cannot be written; earlier ones are kept.
    """
    buffer = io.BytesIO()
    torch.save({"format_version": FORMAT_VERSION, "epoch": epoch, **state}, buffer)
    content = buffer.getvalue()
    path = folder / f"epoch-{epoch:05d}-{hashlib.sha256(content).hexdigest()[:16]}.pt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        for old in checkpoints_in(folder)[KEPT:]:
            old.unlink()
    except (OSError, ModelFileError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        msg = f"{reason}; what was trained before is kept: free space, then go on with --resume"
        raise RunError(msg) from error
    return path


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, newest first."""
    found = {
        path: int(match[1])
        for path in folder.glob("epoch-*.pt")
        if (match := _NAME.fullmatch(path.name))
    }
    return sorted(found, key=lambda path: (found[path], path.stat().st_mtime_ns), reverse=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is ever unpickled but tensors and plain values.

    Raises
    ------
    RunError
        If it is missing, damaged, or of another version.
    """
    match = _NAME.fullmatch(path.name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from error
    if match is None or hashlib.sha256(content).hexdigest()[:16] != match[2]:
        raise RunError(f"{path}: damaged: its content is not what its name says")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError) as error:
        raise RunError(f"{path}: not a checkpoint: {error}") from error
    version = state.get("format_version") if isinstance(state, dict) else None
    if version != FORMAT_VERSION:
        msg = f"{path}: expected a checkpoint of version {FORMAT_VERSION}, found {version!r}"
        raise RunError(f"{msg}; train again, or use the asd-monitor that wrote it")
    return dict(state)


def latest_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the newest checkpoint that is whole; None where there is none at all.

    Raises
    ------
    RunError
        If there are some, and all are damaged.
    """
    failure: RunError | None = None
    for path in checkpoints_in(folder):
        try:
            return read_checkpoint(path)
        except RunError as error:
            logger.warning("%s; taking the one before", error)
            failure = failure or error
    if failure is not None:
        msg = f"{failure}; there is none before it: remove {folder} to train this network again"
        raise RunError(msg) from failure
    return None
