"""Score and decision files of DCASE Task 2: their names in each year, and writing them.

A file has no header, ``\\n`` line ends, and a row ``file_name,value`` for each test clip. Scores:
higher = more anomalous; decisions: 1 = anomalous.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asd_monitor.errors import DatasetError

Kind = Literal["anomaly_score", "decision_result"]
KINDS: tuple[Kind, ...] = ("anomaly_score", "decision_result")

_KIND = "(?P<kind>anomaly_score|decision_result)"
_FILE_NAMES = {
    2020: (rf"{_KIND}_(?P<machine>[^_]+)_(?P<section>id_\d\d)\.csv",),
    2021: (
        rf"{_KIND}_(?P<machine>[^_]+)_(?P<section>section_\d\d)_(?P<domain>source|target)_test\.csv",
    ),
    2022: (rf"{_KIND}_(?P<machine>[^_]+)_(?P<section>section_\d\d)(_test)?\.csv",),
    2023: (
        rf"{_KIND}_(?P<machine>[^_]+)_(?P<section>section_\d\d)(_test)?\.csv",
        rf"{_KIND}_DCASE2023T2(?P<machine>[^_]+)_(?P<section>section_\d\d)_test_seed\d+.*_Eval\.csv",
    ),
}


@dataclass(frozen=True, slots=True)
class FileKey:
    """What a file of a submission is about; ``domain`` is "" but in 2021."""

    kind: Kind
    machine: str
    section: str
    domain: str = ""


def file_name(key: FileKey, year: int) -> str:
    """Official name of a file, as the evaluator of that year opens it."""
    end = "" if year == 2020 else f"_{key.domain}_test" if key.domain else "_test"
    return f"{key.kind}_{key.machine}_{key.section}{end}.csv"


def parse_file_name(name: str, year: int) -> FileKey | None:
    """Understand a file name of a submission in any naming of the year; None if it is none."""
    for pattern in _FILE_NAMES[year]:
        if found := re.fullmatch(pattern, name):
            parts = found.groupdict()
            kind: Kind = "anomaly_score" if parts["kind"] == "anomaly_score" else "decision_result"
            return FileKey(kind, parts["machine"], parts["section"], parts.get("domain") or "")
    return None


def years_named_like(name: str) -> list[int]:
    """Years in which a file of a submission may have that name."""
    return [year for year in _FILE_NAMES if parse_file_name(name, year)]


def write_values(folder: Path, key: FileKey, year: int, values: Mapping[str, float | int]) -> Path:
    """Write an official score or decision file (replacing it), rows in order of clip names.

    Scores are written so that reading them gives the same float64 again.
    """
    path = folder / file_name(key, year)
    rows = (f"{name},{values[name]!r}\n" for name in sorted(values))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(rows), encoding="utf-8", newline="\n")
    except OSError as error:
        msg = f"{path}: cannot be written: {error}"
        raise DatasetError(msg) from error
    return path
