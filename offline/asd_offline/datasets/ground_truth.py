"""Labels and domains of the evaluation sets, from the organisers' ground-truth files.

2020 has one list, ``eval_data_list.csv``: a line with a machine type, then a row
``new name,original name,label`` for each clip. Since 2021 there is one CSV per section (2021: per
section and domain) in ``ground_truth_data``, since 2022 also ``ground_truth_domain`` and
``ground_truth_attributes``, which lists one or (2024) two further names of each clip. Normal = 0,
anomaly = 1; source = 0, target = 1.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from asd_monitor.errors import DatasetError
from asd_offline.datasets.challenge import Challenge
from asd_offline.datasets.csv_rows import numbered_rows
from asd_offline.datasets.layouts import CHALLENGES

SEARCH_DEPTH = 4

_DATA_NAME = re.compile(
    r"ground_truth_(?P<machine>[^_]+)_(?P<section>section_\d\d)_((?P<domain>source|target)_)?test\.csv"
)
_LIST_ROW = re.compile(r"(?P<section>id_\d\d)_\d+\.wav")
_WITHOUT_SPLIT = re.compile(r"(section_\d\d_(?:source|target))_((?:normal|anomaly)_.*)")
_DOMAINS = ("source", "target")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class ClipTruth:
    """Label (0 normal, 1 anomaly) and domain (empty if there are none) of one clip."""

    label: int
    domain: str = ""


@dataclass(frozen=True, slots=True)
class SectionTruth:
    """The clips of one section by official file name."""

    clips: Mapping[str, ClipTruth]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names of the clips -> official names."""


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Labels of a challenge: machine type -> section (or id) -> clips."""

    year: int
    path: Path
    machines: Mapping[str, Mapping[str, SectionTruth]]


def read_ground_truth(folder: Path, year: int) -> GroundTruth:
    """Find and read a challenge's ground truth in a folder or below it.

    Parameters
    ----------
    folder
        The organisers' evaluator repository, any folder up to four levels above it, the folder
        ``ground_truth_data`` itself, or (2020) the list ``eval_data_list.csv``.
    year
        Year of the challenge. It also selects one of several ground truths below ``folder``.

    Raises
    ------
    DatasetError
        If there is no such ground truth, more than one, or it cannot be read.
    """
    if year not in CHALLENGES:
        msg = f"ground truth of {year}: expected a year of {', '.join(map(str, CHALLENGES))}"
        raise DatasetError(msg)
    if not folder.exists():
        msg = f"{folder}: expected the folder of the ground truth, found nothing there"
        raise DatasetError(msg)
    challenge = CHALLENGES[year]
    if challenge.label_lists:
        path = _find_list(folder, challenge)
        return GroundTruth(year, path, _read_list(path))
    root = _find_root(folder, challenge)
    return GroundTruth(year, root, _read_sections(root))


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    for name, folders, files in os.walk(folder, followlinks=True):
        path = Path(name)
        if len(path.relative_to(folder).parts) >= SEARCH_DEPTH:
            folders.clear()
        folders.sort()
        yield path, folders, files


def _find_list(folder: Path, challenge: Challenge) -> Path:
    if folder.is_file():
        return folder
    names = challenge.label_lists
    found = [path / name for path, _, files in _walk(folder) for name in names if name in files]
    if not found:
        msg = f"{folder}: expected {names[0]} (the ground truth of {challenge.year}) there or below"
        raise DatasetError(msg)
    if len({path.read_bytes() for path in found}) > 1:
        msg = f"{folder}: several different lists of labels, name one: {_names(found)}"
        raise DatasetError(msg)
    return found[0]


def _find_root(folder: Path, challenge: Challenge) -> Path:
    start = folder.parent if folder.name == "ground_truth_data" else folder
    year = challenge.year
    roots = [path for path, folders, _ in _walk(start) if "ground_truth_data" in folders]
    if not roots:
        msg = (
            f"{folder}: expected a folder ground_truth_data there or below (the organisers' "
            f"evaluator of {year} has it)"
        )
        raise DatasetError(msg)
    found = [root for root in roots if _is_named_as_in(challenge, root)]
    if not found:
        msg = f"{folder}: found {_names(roots)}, but its files are not named as in {year}"
        raise DatasetError(msg + _why_other_year(roots, challenge))
    if len(found) > 1:
        top = Path(start.resolve().name)
        with_year = [
            root for root in found if str(year) in (top / root.relative_to(start)).as_posix()
        ]
        official = set(challenge.sets["eval"])
        found = with_year or [
            root for root in found if {name["machine"] for name, _ in _data_files(root)} <= official
        ]
    if len(found) != 1:
        msg = f"{folder}: several ground truths could be that of {year}, name one of them"
        raise DatasetError(msg)
    return found[0]


def _is_named_as_in(challenge: Challenge, root: Path) -> bool:
    names = [name for name, _ in _data_files(root)]
    if not names or {bool(name["domain"]) for name in names} != {challenge.domain_folders}:
        return False
    single = {name["section"] for name in names} == {"section_00"}
    if not challenge.domain_folders and single != challenge.single_section:
        return False
    machines = {name["machine"] for name in names}
    return machines <= set(challenge.machines) and not _differing_columns(root, machines, challenge)


def _differing_columns(root: Path, machines: Iterable[str], challenge: Challenge) -> str:
    """Return which list of names has more or fewer columns than in a year; empty if none has.

    Machines whose names were completed later have a column more.
    """
    if challenge.ground_truth_attributes != "names":
        return ""
    for machine in sorted(machines):
        path = root / "ground_truth_attributes" / f"ground_truth_{machine}_section_00_test.csv"
        rows = _rows(path) if path.is_file() else []
        expected = 3 if machine in challenge.full_name_column else 2
        if rows and len(rows[0][1]) != expected:
            return (
                f"{path}: expected {expected} columns of names in {challenge.year}, "
                f"found {len(rows[0][1])}"
            )
    return ""


def _why_other_year(roots: Iterable[Path], challenge: Challenge) -> str:
    """Return why ground truths are not of a year, for an error message; empty if not known."""
    machines = {name["machine"] for root in roots for name, _ in _data_files(root)}
    other = sorted(machines - set(challenge.machines))
    years = [str(year) for year, each in CHALLENGES.items() if machines <= set(each.machines)]
    if other and years:
        return f": {', '.join(other)} are machine types of {' and '.join(years)}"
    reasons = (_differing_columns(root, machines, challenge) for root in roots)
    reason = next(filter(None, reasons), "")
    return f": {reason}" if reason else ""


def _data_files(root: Path) -> list[tuple[re.Match[str], Path]]:
    paths = sorted((root / "ground_truth_data").iterdir())
    return [(name, path) for path in paths if (name := _DATA_NAME.fullmatch(path.name))]


def _read_list(path: Path) -> dict[str, dict[str, SectionTruth]]:
    clips: dict[str, dict[str, dict[str, ClipTruth]]] = {}
    aliases: dict[str, dict[str, dict[str, str]]] = {}
    machine = ""
    for number, row in _rows(path):
        if len(row) == 1:
            machine = row[0].strip()
            continue
        name = _LIST_ROW.fullmatch(row[0])
        if not machine or len(row) != 3 or not name:
            msg = (
                f"{path}: row {number}: expected a machine type, or "
                f"'id_01_00000000.wav,original name,label' below one, found {','.join(row)!r}"
            )
            raise DatasetError(msg)
        section = name["section"]
        truths = clips.setdefault(machine, {}).setdefault(section, {})
        _add(truths, row[0], ClipTruth(_parse_bit(row[2], path, number)), path, number)
        aliases.setdefault(machine, {}).setdefault(section, {})[row[1]] = row[0]
    return {
        machine: {s: SectionTruth(truths, aliases[machine][s]) for s, truths in sections.items()}
        for machine, sections in clips.items()
    }


def _read_sections(root: Path) -> dict[str, dict[str, SectionTruth]]:
    clips: dict[str, dict[str, dict[str, ClipTruth]]] = {}
    for name, path in _data_files(root):
        machine, section = name["machine"], name["section"]
        labels = _read_bits(path)
        if name["domain"]:
            domains = dict.fromkeys(labels, name["domain"])
        else:
            domains = _read_domains(root / "ground_truth_domain" / path.name, set(labels))
        truths = clips.setdefault(machine, {}).setdefault(section, {})
        for clip, label in labels.items():
            truths[clip] = ClipTruth(label, domains[clip])
    return {
        machine: {
            s: SectionTruth(truths, _read_aliases(root, machine, s))
            for s, truths in sections.items()
        }
        for machine, sections in clips.items()
    }


def _read_domains(path: Path, expected: set[str]) -> dict[str, str]:
    domains = {clip: _DOMAINS[bit] for clip, bit in _read_bits(path).items()}
    if set(domains) != expected:
        different = sorted(set(domains) ^ expected)
        msg = (
            f"{path}: expected the clips of the file of that name in ground_truth_data, "
            f"{len(different)} are in one of the two only, first {different[0]}"
        )
        raise DatasetError(msg)
    return domains


def _read_aliases(root: Path, machine: str, section: str) -> dict[str, str]:
    """Read names with attributes -> official names, from a table or a list; both are optional."""
    number = section.removeprefix("section_")
    folder = root / "ground_truth_attributes"
    aliases: dict[str, str] = {}
    table = folder / machine / f"attributes_{number}.csv"
    for path in (table, folder / f"ground_truth_{machine}_{section}_test.csv"):
        if not path.is_file():
            continue
        rows = _rows(path)[1:] if path == table else _rows(path)
        for _, row in rows:
            official, *others = (cell.rpartition("/")[2] for cell in row)
            # A table has attributes in between; a list has one or two names.
            for alias in others[-1:] if path == table else others:
                for name in _forms_of(alias):
                    aliases[name] = official
    return aliases


def _forms_of(alias: str) -> Iterator[str]:
    """Yield a name with its suffix, and with ``_test``, which the names of one machine lack."""
    name = alias if alias.endswith(".wav") else f"{alias}.wav"
    yield name
    if incomplete := _WITHOUT_SPLIT.fullmatch(name):
        yield f"{incomplete[1]}_test_{incomplete[2]}"


def _read_bits(path: Path) -> dict[str, int]:
    """Read rows ``file name,0`` or ``file name,1``."""
    bits: dict[str, int] = {}
    for number, row in _rows(path):
        if len(row) != 2:
            found = ",".join(row)
            msg = f"{path}: row {number}: expected 'file_name,0' or 'file_name,1', found {found!r}"
            raise DatasetError(msg)
        _add(bits, row[0], _parse_bit(row[1], path, number), path, number)
    if not bits:
        msg = f"{path}: expected rows 'file_name,0' or 'file_name,1', found an empty file"
        raise DatasetError(msg)
    return bits


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the numbered rows of a CSV without blank ones."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: expected a CSV file of ground truth: {error}"
        raise DatasetError(msg) from error
    rows = numbered_rows(path, text)
    return [(number, row) for number, row in rows if any(cell.strip() for cell in row)]


def _parse_bit(text: str, path: Path, number: int) -> int:
    if text.strip() not in ("0", "1"):
        msg = f"{path}: row {number}: expected 0 or 1 in the last column, found {text!r}"
        raise DatasetError(msg)
    return int(text)


def _add(values: dict[str, _V], name: str, value: _V, path: Path, number: int) -> None:
    if name in values:
        msg = f"{path}: row {number}: {name} occurs twice"
        raise DatasetError(msg)
    values[name] = value


def _names(paths: list[Path]) -> str:
    return ", ".join(str(path) for path in paths)
