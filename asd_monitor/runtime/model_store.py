"""Keep the learned models of the state folder: save them, and recover from a damaged one."""

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from asd_monitor.audio.files import read_header
from asd_monitor.errors import AsdMonitorError, ModelFileError, SourceError, StateError
from asd_monitor.judging.proposal import previous_model
from asd_monitor.model_file.archive import write_atomically
from asd_monitor.runtime.commissioning import FittedModel
from asd_monitor.runtime.own_signature import sign_own
from asd_monitor.runtime.recording_store import FILE_PATTERN
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.storage.durable import make_folder_durably, move_durably, write_durably

if TYPE_CHECKING:
    from asd_monitor.runtime.pipeline import Pipeline

logger = logging.getLogger(__name__)

SAVE_INTERVAL_S = 30.0
"""A model that could not be saved is tried again this often."""
MIN_REFIT_S = 20.0
"""No model can be fitted to less sound."""
DAMAGED_SUFFIX = ".damaged"


def save_model(state: StateFolder, machine: str, content: bytes) -> FittedModel:
    """Write a learned model, and keep the one that it replaces as the previous one.

    It is signed. A model that cannot be written is returned with its content, so that it can be
    used.
    """
    path = state.model_path(machine)
    content = sign_own(state, content)
    try:
        state.make(path.parent)
        _keep_previous(state, machine)
        write_atomically(path, content)
    except (ModelFileError, StateError) as error:
        problem = f"the model is used, but could not be saved: {error}"
        logger.warning("%s: %s; saved later", machine, problem)
        return FittedModel(path, content, problem)
    logger.info("%s: model written to %s", machine, path)
    return FittedModel(path)


def _keep_previous(state: StateFolder, machine: str) -> None:
    """Copy the model in use to the previous one, if it is undamaged."""
    from asd_monitor.model_file import read_manifest

    path, previous = state.model_path(machine), previous_model(state.root, machine)
    try:
        read_manifest(path)
        make_folder_durably(previous.parent)
        write_durably(previous, path.read_bytes())
    except ModelFileError:
        return  # there is none, or it is damaged
    except OSError as error:
        msg = f"{previous}: cannot be written: {error.strerror}"
        raise ModelFileError(msg) from error


def estimate_recorded_s(folder: Path) -> float:
    """Return the length of the recordings in a folder that can be read, in seconds."""
    total_s = 0.0
    for path in folder.glob(FILE_PATTERN):
        try:
            total_s += read_header(path).duration_s
        except SourceError:
            continue
    return total_s


def set_aside(path: Path) -> Path:
    """Rename a damaged model, so that another one can be learned; return its new path.

    Raises
    ------
    ModelFileError
        If it cannot be renamed.
    """
    damaged = path.with_suffix(path.suffix + DAMAGED_SUFFIX)
    try:
        move_durably(path, damaged)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be renamed: {error.strerror}") from error
    return damaged


class SaveLater:
    """Save the model of a running machine as soon as that is possible.

    Parameters
    ----------
    state
        The state folder.
    pipeline
        Of the machine; its problem ends when the model is saved.
    content
        Content of the model file.
    """

    def __init__(self, state: StateFolder, pipeline: "Pipeline", content: bytes) -> None:
        self._state = state
        self._pipeline = pipeline
        self._content = content
        self._pause = threading.Event()
        name = f"save-model-{pipeline.machine}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the attempts; the process may end at any time."""
        self._thread.start()

    def _run(self) -> None:
        path = self._state.model_path(self._pipeline.machine)
        while True:
            self._pause.wait(SAVE_INTERVAL_S)
            try:
                self._state.make(path.parent)
                write_atomically(path, sign_own(self._state, self._content))
            except AsdMonitorError as error:
                logger.debug("%s: %s", self._pipeline.machine, error)
                continue
            self._pipeline.model_problem = ""
            logger.info("%s: model written to %s", self._pipeline.machine, path)
            return
