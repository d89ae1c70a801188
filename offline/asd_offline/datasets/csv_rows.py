"""Rows of a CSV file, with a fault that the csv module finds told as one of the user's file."""

import csv
from collections.abc import Iterator
from pathlib import Path

from asd_monitor.errors import DatasetError


def numbered_rows(path: Path, text: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of ``text``, which stands in ``path``, numbered from 1.

    Raises
    ------
    DatasetError
        If a cell is beyond all measure, as behind a quotation mark that is never closed.
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
