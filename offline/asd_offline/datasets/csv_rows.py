"""Read CSV rows with row numbers, and errors of the csv module as errors in the user's file."""

import csv
from collections.abc import Iterator
from pathlib import Path

from asd_monitor.errors import DatasetError


def numbered_rows(path: Path, text: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of ``text``, the content of ``path``, numbered from 1.

    Raises
    ------
    DatasetError
        If a cell is too long to be one, as after a quotation mark that is never closed.
    """
    rows, number = csv.reader(text.splitlines(), delimiter=delimiter), 1
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            msg = f"{path}: row {number}: a quotation mark that is never closed? ({error})"
            raise DatasetError(msg) from error
        if row is None:
            return
        yield number, row
        number += 1
