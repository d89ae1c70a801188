"""Submissions to DCASE Task 2: finding, reading and checking score and decision files.

The organisers' scripts sort rows and compare only how many there are; here every row is matched by
its clip's name.
"""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_offline.datasets.clip import Rejected
from asd_offline.datasets.ground_truth import GroundTruth, SectionTruth
from asd_offline.evaluation.rules import scoring_rules
from asd_offline.evaluation.submission_files import (
    KINDS,
    FileKey,
    Kind,
    file_name,
    parse_file_name,
    years_named_like,
)

PROBLEMS_SHOWN = 10
SEARCH_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Submission:
    """Scores and decisions of one system, by machine type, section and official clip name."""

    name: str
    folder: Path
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    decisions: Mapping[str, Mapping[str, Mapping[str, int]]]
    missing: tuple[str, ...] = ()
    """Score files that the ground truth knows clips of, but that are not there."""
    rejected: tuple[Rejected, ...] = ()


@dataclass(slots=True)
class _Reading:
    problems: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def find_systems(folder: Path) -> dict[str, Path]:
    """Folders that hold score files, by a name for each: the folder given, or all those below it.

    The name is the folder's; where two folders share it (``teams/a/system_1``,
    ``teams/b/system_1``) the parent's stands before it.

    Raises
    ------
    DatasetError
        If there is no file ``anomaly_score_*.csv`` in the folder or up to four levels below it.
    """
    if not folder.is_dir():
        msg = f"{folder}: expected a folder with files anomaly_score_*.csv, found no folder"
        raise DatasetError(msg)
    for depth in range(SEARCH_DEPTH + 1):
        holders = {path.parent for path in folder.glob("*/" * depth + "anomaly_score_*.csv")}
        if holders and depth == 0:
            return {folder.resolve().name: folder}
        if holders:
            break
    else:
        msg = f"{folder}: expected files anomaly_score_*.csv in it or below it, found none"
        raise DatasetError(msg)
    for deeper in range(depth + 1, SEARCH_DEPTH + 1):
        holders |= {path.parent for path in folder.glob("*/" * deeper + "anomaly_score_*.csv")}
    names = [path.name for path in holders]
    return {
        path.name if names.count(path.name) == 1 else "_".join(path.relative_to(folder).parts): path
        for path in sorted(holders)
    }


def read_submission(name: str, folder: Path, truth: GroundTruth) -> Submission:
    """Read one system's files and match every row with a clip of the ground truth by name.

    Raises
    ------
    DatasetError
        Naming file and row, what was expected and what was found, for all files at once: clips
        missing, doubled or unknown, values that are no finite numbers (scores) or not 0 or 1
        (decisions), header rows, wrong column counts, byte-order marks, Windows line ends,
        empty files, or two files for one section.
    """
    reading = _Reading()
    scores: dict[str, dict[str, dict[str, float]]] = {}
    decisions: dict[str, dict[str, dict[str, int]]] = {}
    files = _files(folder, truth, reading)
    for key, path in files.items():
        section = truth.machines[key.machine][key.section]
        values = _read_file(path, key, section, reading.problems)
        if key.kind == "anomaly_score":
            scores.setdefault(key.machine, {}).setdefault(key.section, {}).update(values)
        else:
            whole = {clip: int(value) for clip, value in values.items()}
            decisions.setdefault(key.machine, {}).setdefault(key.section, {}).update(whole)
    if reading.problems:
        msg = f"{folder}: this submission is not as it should be:\n" + "\n".join(reading.problems)
        raise DatasetError(msg)
    if not scores:
        raise DatasetError(_nothing_found(folder, truth, reading.rejected))
    missing = tuple(
        file_name(key, scoring_rules(truth.year)) for key in _expected(truth) if key not in files
    )
    return Submission(name, folder, scores, decisions, missing, tuple(reading.rejected))


def _nothing_found(folder: Path, truth: GroundTruth, rejected: list[Rejected]) -> str:
    expected = file_name(_expected(truth)[0], scoring_rules(truth.year))
    found = "; ".join(f"{r.path.name} ({r.reason})" for r in rejected[:2])
    more = f" and {len(rejected) - 2} more" if len(rejected) > 2 else ""
    years = {year for r in rejected for year in years_named_like(r.path.name)} - {truth.year}
    hint = f". Is the year right? Names as in {' or '.join(map(str, sorted(years)))}"
    return (
        f"{folder}: expected scores of {truth.year}, such as {expected}, "
        f"found {found or 'none'}{more}{hint if years else ''}"
    )


def _expected(truth: GroundTruth) -> list[FileKey]:
    """Score files that a whole submission has."""
    keys = []
    for machine, sections in truth.machines.items():
        for section, known in sections.items():
            domains = (
                {clip.domain for clip in known.clips.values()}
                if scoring_rules(truth.year).domain_files
                else {""}
            )
            keys += [
                FileKey("anomaly_score", machine, section, domain) for domain in sorted(domains)
            ]
    return keys


def _files(folder: Path, truth: GroundTruth, reading: _Reading) -> dict[FileKey, Path]:
    """Files that the ground truth has clips for; the others are noted with the reason."""
    found: dict[FileKey, Path] = {}
    for path in sorted(p for kind in KINDS for p in folder.glob(f"{kind}*.csv")):
        key = parse_file_name(path.name, scoring_rules(truth.year))
        if key is None:
            reason = f"not named as in {truth.year}"
            reading.rejected.append(Rejected(path, reason))
        elif key.section not in truth.machines.get(key.machine, {}):
            reason = f"the ground truth has no clips of {key.machine} {key.section}"
            reading.rejected.append(Rejected(path, reason))
        elif key in found:
            reading.problems.append(f"  {path.name}: {found[key].name} is about the same section")
        else:
            found[key] = path
    return found


def _read_file(
    path: Path, key: FileKey, section: SectionTruth, problems: list[str]
) -> dict[str, float]:
    """Values by official clip name; what is wrong is added to ``problems``."""
    expected = {n: t for n, t in section.clips.items() if key.domain in ("", t.domain)}
    wrong: list[str] = []
    values: dict[str, float | None] = {}
    first_row: dict[str, int] = {}
    rows = _rows(path, wrong)
    for number, row in rows:
        if number == 1 and _is_header(row):
            wrong.append(f"row 1: {','.join(row)!r} looks like a header; files have none")
            continue
        value = _value(row, key.kind, number, wrong)
        clip = section.aliases.get(row[0], row[0]) if row else None
        if clip is None:
            continue
        if clip not in expected:
            wrong.append(f"row {number}: {row[0]!r} is not a clip of {_place(key)}")
        elif clip in first_row:
            wrong.append(f"row {number}: {row[0]} a second time (first in row {first_row[clip]})")
        else:
            first_row[clip] = number
            values[clip] = value
    missing = sorted(set(expected) - set(values))
    if missing and rows:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        counts = f"expected {len(expected)} clips, found {len(values)}"
        wrong.insert(0, f"no row for {missing[0]}{more} ({counts})")
    if wrong:
        shown = wrong[:PROBLEMS_SHOWN] + _rest(len(wrong) - PROBLEMS_SHOWN)
        problems += [f"  {path.name}:", *(f"    {line}" for line in shown)]
    return {clip: value for clip, value in values.items() if value is not None}


def _is_header(row: list[str]) -> bool:
    """Tell a line of column names: neither a clip's name nor a number in it."""
    return bool(row) and not row[0].endswith(".wav") and not any(_is_number(cell) for cell in row)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _rows(path: Path, wrong: list[str]) -> list[tuple[int, list[str]]]:
    """Numbered rows; faults of the file as a whole are added to ``wrong``."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        wrong.append(f"cannot be read as UTF-8 text: {error}")
        return []
    if not text.strip():
        wrong.append("expected rows 'file_name,value', found an empty file")
        return []
    if text.startswith("\ufeff"):
        wrong.append("row 1: starts with a byte-order mark; save it as plain UTF-8, without BOM")
        text = text.removeprefix("\ufeff")
    if "\r" in text:
        row = text[: text.index("\r")].count("\n") + 1
        wrong.append(f"row {row}: ends with a carriage return; save it with \\n line ends (Unix)")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        return list(enumerate(csv.reader(io.StringIO(text)), start=1))
    except csv.Error as error:
        wrong.append(f"cannot be read as CSV: {error}")
        return []


def _value(row: list[str], kind: Kind, number: int, wrong: list[str]) -> float | None:
    """Value of a row, or None with the reason in ``wrong``."""
    if len(row) != 2:
        wrong.append(f"row {number}: expected 2 columns 'file_name,value', found {len(row)}")
        return None
    if not _is_number(row[1]):
        wrong.append(f"row {number}: expected a number after the file name, found {row[1]!r}")
        return None
    value = float(row[1])
    if not math.isfinite(value):
        wrong.append(f"row {number}: expected a finite score for {row[0]}, found {row[1].strip()}")
        return None
    if kind == "decision_result" and value not in (0.0, 1.0):
        wrong.append(f"row {number}: expected the decision 0 or 1 for {row[0]}, found {row[1]}")
        return None
    return value


def _place(key: FileKey) -> str:
    return " ".join(part for part in (key.machine, key.section, key.domain) if part)


def _rest(count: int) -> list[str]:
    return [f"and {count} more of such"] if count > 0 else []
