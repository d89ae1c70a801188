"""Read the labels of a stream: a CSV with the columns ``start_s,end_s,label``.

All sound that no row covers is normal. A row whose label is ``normal``, or a word for it, covers
normal sound, too; one with the label ``ignore`` covers sound that is not evaluated. Every other
label is the name of a fault. Further columns are kept as details of the fault.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from asd_monitor.audio.label_words import label_of
from asd_monitor.errors import DatasetError
from asd_offline.datasets.clip import NORMAL
from asd_offline.datasets.csv_rows import numbered_rows

COLUMNS = ("start_s", "end_s", "label")
IGNORE = "ignore"
END_TOLERANCE_S = 0.1
"""A span may exceed the recording by this much, as rounded times do; it is cut to its end."""
EXAMPLE = "start_s,end_s,label"


@dataclass(frozen=True, slots=True)
class Span:
    """A labelled part of a stream, from ``start_s`` up to but not including ``end_s``."""

    start_s: float
    end_s: float
    label: str
    details: Mapping[str, str] = field(default_factory=dict)
    """Further columns of the row, by their names."""

    @property
    def is_fault(self) -> bool:
        """Whether it is a fault; otherwise it is not evaluated."""
        return self.label.lower() != IGNORE


def read_spans(path: Path, duration_s: float) -> tuple[Span, ...]:
    """Return the faults and the ignored parts of a stream, in order of time.

    Parameters
    ----------
    path
        CSV in UTF-8 (also with a byte order mark) or UTF-16, separated by commas, semicolons or
        tabs.
    duration_s
        Length of the stream.

    Raises
    ------
    DatasetError
        If a row is invalid, or rows overlap; the message names the row.
    """
    spans: list[tuple[int, Span]] = []
    for number, row in _rows(path):
        span = _parse_span(f"{path}: row {number}", row, duration_s)
        if span is not None:
            spans.append((number, span))
    spans.sort(key=lambda numbered: numbered[1].start_s)
    for (number, span), (next_number, following) in pairwise(spans):
        if following.start_s < span.end_s:
            msg = (
                f"{path}: row {next_number} ({following.start_s:g} to {following.end_s:g} s) "
                f"overlaps row {number} ({span.start_s:g} to {span.end_s:g} s); merge them, or "
                "end one where the other starts"
            )
            raise DatasetError(msg)
    return tuple(span for _, span in spans)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    text = _read_text(path)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = numbered_rows(path, text, delimiter)
    header = [cell.strip().lower() for cell in next(rows, (1, []))[1]]
    if not set(COLUMNS) <= set(header) or len(set(header)) < len(header):
        found = "an empty file" if not text.strip() else repr(first[:80].strip())
        msg = (
            f"{path}: row 1: expected a header with the columns {EXAMPLE}, found {found}; the file "
            "of a stream without faults holds this header alone"
        )
        raise DatasetError(msg)
    named = []
    for number, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            msg = f"{path}: row {number}: expected {len(header)} columns, found {len(row)}"
            if delimiter == ";" or len(row) > len(header):
                msg += "; decimals need a point, and labels with commas need quotation marks"
            raise DatasetError(msg)
        named.append((number, dict(zip(header, (cell.strip() for cell in row), strict=True))))
    return named


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        msg = f"{path}: the labels cannot be read: {error.strerror or error}"
        raise DatasetError(msg) from error
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        msg = (
            f"{path}: expected text in UTF-8, found byte 0x{content[error.start]:02x} at position "
            f"{error.start}; save it as CSV in UTF-8"
        )
        raise DatasetError(msg) from error


def _parse_span(where: str, row: Mapping[str, str], duration_s: float) -> Span | None:
    """Return the span of a row; None where it is labelled as normal."""
    start_s, end_s = (_parse_seconds(where, name, row[name]) for name in COLUMNS[:2])
    label = row["label"]
    if not label:
        msg = f"{where}: expected a label, such as the kind of the fault, found none"
        raise DatasetError(msg)
    if start_s >= end_s:
        msg = f"{where}: expected an end after the start, found {start_s:g} to {end_s:g} s"
        raise DatasetError(msg)
    if end_s > duration_s + END_TOLERANCE_S or start_s >= duration_s:
        msg = (
            f"{where}: ends at {end_s:g} s, beyond the end of the recording at {duration_s:.1f} s; "
            "times are seconds from its start"
        )
        raise DatasetError(msg)
    if label_of(label) == NORMAL:
        return None
    details = {name: value for name, value in row.items() if name not in COLUMNS and value}
    return Span(start_s, min(end_s, duration_s), label, details)


def _parse_seconds(where: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        hint = "; decimals need a point" if "," in text else ""
        hint = "; write times in seconds, not as h:mm:ss" if ":" in text else hint
        msg = f"{where}: {name}: expected seconds from the start, such as 90.5, found {text!r}"
        raise DatasetError(msg + hint)
    return value
