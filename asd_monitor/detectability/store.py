"""Keep what a model can detect in a file next to the model file, which is not changed.

A model file is sealed with checksums, and the measurement ends long after the model is in use.
"""

import json
import logging
from pathlib import Path

from asd_monitor.detectability.result import Detectability
from asd_monitor.errors import StateError
from asd_monitor.storage.durable import write_durably

logger = logging.getLogger(__name__)

SUFFIX = ".detectability.json"


def result_path(model: Path) -> Path:
    """Return the path of the result for a model file: ``pump.detectability.json``."""
    return model.with_suffix(SUFFIX)


def read_result(model: Path) -> Detectability | None:
    """Return the result next to a model file; None if there is none, or it cannot be read.

    It may be of an earlier model: compare :attr:`Detectability.model_sha256`.
    """
    path = result_path(model)
    try:
        return Detectability.from_dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, TypeError) as error:
        logger.warning("%s: cannot be read, so it is ignored: %s", path, error)
        return None


def write_result(model: Path, result: Detectability) -> None:
    """Write the result next to a model file.

    Raises
    ------
    StateError
        If it cannot be written.
    """
    path = result_path(model)
    content = json.dumps(result.to_dict(), allow_nan=False, indent=1) + "\n"
    try:
        write_durably(path, content.encode())
    except OSError as error:
        raise StateError(f"{path}: cannot be written: {error.strerror}") from error
