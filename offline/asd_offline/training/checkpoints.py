"""Checkpoints of one network, written atomically and verified when read.

A checkpoint is a plain torch file called ``epoch-<number>-<first 16 digits of its SHA-256>.pt``.
The last two are kept: if the last one is damaged, training resumes from the one before.
"""

import hashlib
import io
import logging
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from asd_monitor.errors import ModelFileError, RunError
from asd_monitor.model_file.archive import write_atomically
from asd_offline.recipes import Recipe, restore_recipe

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
MAX_CHECKPOINTS = 2
_NAME = re.compile(r"epoch-(\d+)-([0-9a-f]{16})\.pt")


@dataclass(frozen=True, slots=True)
class Identity:
    """The training that a checkpoint belongs to."""

    network: str
    seed: int
    recipe: Recipe

    def to_dict(self) -> dict[str, Any]:
        """Return what a checkpoint stores of it."""
        recipe = self.recipe.model_dump(mode="json")
        return {"network": self.network, "seed": self.seed, "recipe": recipe}

    def check(self, checkpoint: Mapping[str, Any]) -> None:
        """Raise RunError unless a checkpoint is of this network, seed and recipe."""
        where = f"checkpoint of {self.network}"
        stored = restore_recipe(type(self.recipe), checkpoint.get("recipe"), where)
        actual = {name: checkpoint.get(name) for name in ("network", "seed")}
        actual |= stored.model_dump(mode="json")
        expected = {"network": self.network, "seed": self.seed}
        expected |= self.recipe.model_dump(mode="json")
        for name, value in expected.items():
            if actual.get(name) != value:
                msg = f"{where}: expected {name} {value!r}, found {actual.get(name)!r}"
                raise RunError(f"{msg}; it belongs to another run")


def write_checkpoint(folder: Path, epoch: int, state: Mapping[str, Any]) -> Path:
    """Write a checkpoint and remove all but the last two.

    Parameters
    ----------
    epoch
        Number of completed epochs.
    state
        Tensors, numbers, texts, lists and dicts.

    Raises
    ------
    RunError
        If it cannot be written; earlier checkpoints are kept.
    """
    buffer = io.BytesIO()
    torch.save({"format_version": FORMAT_VERSION, "epoch": epoch, **state}, buffer)
    content = buffer.getvalue()
    path = folder / f"epoch-{epoch:05d}-{hashlib.sha256(content).hexdigest()[:16]}.pt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        for old in list_checkpoints(folder)[MAX_CHECKPOINTS:]:
            old.unlink()
    except (OSError, ModelFileError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        msg = f"{reason}; earlier checkpoints are kept: free space, then continue with --resume"
        raise RunError(msg) from error
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, newest first."""
    epochs = {
        path: int(match[1])
        for path in folder.glob("epoch-*.pt")
        if (match := _NAME.fullmatch(path.name))
    }
    return sorted(epochs, key=lambda path: (epochs[path], path.stat().st_mtime_ns), reverse=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are unpickled.

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
        raise RunError(f"{path}: damaged: its content does not match the digest in its name")
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
    """Return the newest undamaged checkpoint; None if the folder has no checkpoint.

    Raises
    ------
    RunError
        If all checkpoints are damaged.
    """
    failure: RunError | None = None
    for path in list_checkpoints(folder):
        try:
            return read_checkpoint(path)
        except RunError as error:
            logger.warning("%s; using the one before", error)
            failure = failure or error
    if failure is not None:
        msg = f"{failure}; there is none before it: remove {folder} to train this network again"
        raise RunError(msg) from failure
    return None
