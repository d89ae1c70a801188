"""Read and check the rows of one score or decision file."""

import csv
import io
import math
from pathlib import Path

from asd_offline.datasets.ground_truth import SectionTruth
from asd_offline.evaluation.submission_files import FileKey, Kind

MAX_PROBLEMS = 10
"""Problems of one file that are listed."""


def read_rows(
    path: Path, key: FileKey, section: SectionTruth
) -> tuple[dict[str, float], list[str]]:
    """Read a file's values by official clip name.

    Parameters
    ----------
    path
        The file.
    key
        What its name says that it holds.
    section
        Clips of its section.

    Returns
    -------
    tuple
        Values, and lines of text on the problems of the file; empty if there are none.
    """
    expected = {name for name, clip in section.clips.items() if key.domain in ("", clip.domain)}
    rows, problems = _parse_rows(path)
    values: dict[str, float | None] = {}
    first_row: dict[str, int] = {}
    for number, row in rows:
        if number == 1 and _is_header(row):
            problems.append(f"row 1: {','.join(row)!r} looks like a header; files have none")
            continue
        value, problem = _parse_value(row, key.kind)
        if problem:
            problems.append(f"row {number}: {problem}")
        if not row:
            continue
        clip = section.aliases.get(row[0], row[0])
        if clip not in expected:
            group = " ".join(filter(None, (key.machine, key.section, key.domain)))
            problems.append(f"row {number}: {row[0]!r} is not a clip of {group}")
        elif clip in first_row:
            problems.append(f"row {number}: {row[0]} again (first in row {first_row[clip]})")
        else:
            first_row[clip] = number
            values[clip] = value
    missing = sorted(expected - set(values))
    if missing and rows:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        counts = f"expected {len(expected)} clips, found {len(values)}"
        problems.insert(0, f"no row for {missing[0]}{more} ({counts})")
    complete = {clip: value for clip, value in values.items() if value is not None}
    return complete, _format(path, problems)


def clip_names(path: Path) -> list[str]:
    """Return the names of clips in a file, as far as it can be read, without header."""
    rows, _ = _parse_rows(path)
    return [row[0] for number, row in rows if row and not (number == 1 and _is_header(row))]


def _format(path: Path, problems: list[str]) -> list[str]:
    if not problems:
        return []
    lines = [f"    {problem}" for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"    and {len(problems) - MAX_PROBLEMS} more problems")
    return [f"  {path.name}:", *lines]


def _parse_rows(path: Path) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Return numbered rows, and the problems of the file as a whole."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"cannot be read as UTF-8 text: {error}"]
    if not text.strip():
        return [], ["expected rows 'file_name,value', found an empty file"]
    problems = []
    if text.startswith("\ufeff"):
        problems.append("row 1: starts with a byte-order mark; save it as UTF-8 without BOM")
        text = text.removeprefix("\ufeff")
    if "\r" in text:
        row = text[: text.index("\r")].count("\n") + 1
        problems.append(f"row {row}: ends with a carriage return; save it with Unix line endings")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        return list(enumerate(csv.reader(io.StringIO(text)), start=1)), problems
    except csv.Error as error:
        return [], [*problems, f"cannot be read as CSV: {error}"]


def _is_header(row: list[str]) -> bool:
    """Return whether a row has column names: neither a clip's name nor a number."""
    return bool(row) and not row[0].endswith(".wav") and not any(_is_number(cell) for cell in row)


def _is_number(text: str) -> bool:
    if "_" in text or not text.isascii():  # Python's float accepts 1_000 and other digits
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse_value(row: list[str], kind: Kind) -> tuple[float | None, str]:
    """Return the value of a row, or None and the problem."""
    if len(row) != 2:
        return None, f"expected 2 columns 'file_name,value', found {len(row)}"
    if not _is_number(row[1]):
        return None, f"expected a number after the file name, found {row[1]!r}"
    value = float(row[1])
    if not math.isfinite(value):
        return None, f"expected a finite score for {row[0]}, found {row[1].strip()}"
    if kind == "decision_result" and value not in (0.0, 1.0):
        return None, f"expected the decision 0 or 1 for {row[0]}, found {row[1]}"
    return value, ""
