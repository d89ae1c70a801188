"""Result files of jobs."""

from pathlib import Path

from asd_monitor.errors import DatasetError, ModelFileError
from asd_monitor.model_file.archive import write_atomically


def write_result(path: Path, text: str) -> None:
    """Write the result of a job, completely or not at all.

    Raises
    ------
    DatasetError
        If it cannot be written.
    """
    try:
        write_atomically(path, text.encode())
    except ModelFileError as error:
        raise DatasetError(str(error)) from error
