"""Find and read submissions to DCASE Task 2: the score and decision files of a system.

The organisers' scripts sort rows and compare only their number; here every row is matched with its
clip by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_offline.datasets import CHALLENGES
from asd_offline.datasets.clip import Rejected
from asd_offline.datasets.ground_truth import GroundTruth
from asd_offline.evaluation.rules import scoring_rules
from asd_offline.evaluation.submission_files import (
    KINDS,
    FileKey,
    file_name,
    parse_file_name,
    years_named_like,
)
from asd_offline.evaluation.submission_rows import read_rows

SEARCH_DEPTH = 4
_MAX_LISTED = 2


@dataclass(frozen=True, slots=True)
class Submission:
    """Scores and decisions of one system, by machine type, section and official clip name."""

    name: str
    folder: Path
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    decisions: Mapping[str, Mapping[str, Mapping[str, int]]]
    missing: tuple[str, ...] = ()
    """Names of missing score files of clips that are in the ground truth."""
    rejected: tuple[Rejected, ...] = ()
    """Files that the ground truth has no clips for."""


def find_systems(folder: Path) -> dict[str, Path]:
    """Return the folders that hold score files by name: the given one, or all below it.

    The name is the folder's; if two folders share it (``teams/a/system_1``, ``teams/b/system_1``),
    the parent folders' names precede it.

    Raises
    ------
    DatasetError
        If there is no file ``anomaly_score_*.csv`` in the folder or up to four levels below it.
    """
    if not folder.is_dir():
        msg = f"{folder}: expected a folder with files anomaly_score_*.csv, found no folder"
        raise DatasetError(msg)
    if any(folder.glob("anomaly_score_*.csv")):
        return {folder.resolve().name: folder}
    folders = {
        path.parent
        for depth in range(1, SEARCH_DEPTH + 1)
        for path in folder.glob("*/" * depth + "anomaly_score_*.csv")
    }
    if not folders:
        msg = f"{folder}: expected files anomaly_score_*.csv in it or below it, found none"
        raise DatasetError(msg)
    names = [path.name for path in folders]
    return {
        path.name if names.count(path.name) == 1 else "_".join(path.relative_to(folder).parts): path
        for path in sorted(folders)
    }


def read_submission(name: str, folder: Path, truth: GroundTruth) -> Submission:
    """Read one system's files and match every row with a clip of the ground truth by name.

    Raises
    ------
    DatasetError
        For all files at once, with file, row, and what was expected and found: missing, duplicate
        or unknown clips, values that are not finite numbers (scores) or not 0 or 1 (decisions),
        header rows, wrong numbers of columns, byte-order marks, Windows line endings, empty files,
        or two files for one section.
    """
    files, rejected, problems = _select_files(folder, truth)
    scores: dict[str, dict[str, dict[str, float]]] = {}
    decisions: dict[str, dict[str, dict[str, int]]] = {}
    for key, path in files.items():
        values, file_problems = read_rows(path, key, truth.machines[key.machine][key.section])
        problems += file_problems
        if key.kind == "anomaly_score":
            scores.setdefault(key.machine, {}).setdefault(key.section, {}).update(values)
        else:
            bits = {clip: int(value) for clip, value in values.items()}
            decisions.setdefault(key.machine, {}).setdefault(key.section, {}).update(bits)
    if problems:
        msg = f"{folder}: this submission has errors:\n" + "\n".join(problems)
        raise DatasetError(msg)
    if not scores:
        raise DatasetError(_nothing_found(folder, truth, rejected))
    rules = scoring_rules(truth.year)
    missing = tuple(file_name(key, rules) for key in _expected_files(truth) if key not in files)
    return Submission(name, folder, scores, decisions, missing, tuple(rejected))


def _select_files(
    folder: Path, truth: GroundTruth
) -> tuple[dict[FileKey, Path], list[Rejected], list[str]]:
    """Return the files that the ground truth has clips for, the other files, and problems."""
    rules = scoring_rules(truth.year)
    files: dict[FileKey, Path] = {}
    rejected: list[Rejected] = []
    problems: list[str] = []
    for path in sorted(path for kind in KINDS for path in folder.glob(f"{kind}*.csv")):
        key = parse_file_name(path.name, rules)
        if key is None:
            rejected.append(Rejected(path, f"not named as in {truth.year}"))
        elif key.section not in truth.machines.get(key.machine, {}):
            reason = (
                f"the ground truth has no clips of {key.machine} {key.section}, and the names in "
                "it do not show labels"
            )
            rejected.append(Rejected(path, reason))
        elif key in files:
            problems.append(f"  {path.name}: {files[key].name} is of the same section")
        else:
            files[key] = path
    return files, rejected, problems


def _expected_files(truth: GroundTruth) -> list[FileKey]:
    """Return the score files of a complete submission."""
    domain_files = scoring_rules(truth.year).domain_files
    keys = []
    for machine, sections in truth.machines.items():
        for section, known in sections.items():
            domains = {clip.domain for clip in known.clips.values()} if domain_files else {""}
            keys += [
                FileKey("anomaly_score", machine, section, domain) for domain in sorted(domains)
            ]
    return keys


def _nothing_found(folder: Path, truth: GroundTruth, rejected: Sequence[Rejected]) -> str:
    expected = file_name(_example(truth), scoring_rules(truth.year))
    found = "; ".join(f"{file.path.name} ({file.reason})" for file in rejected[:_MAX_LISTED])
    more = f" and {len(rejected) - _MAX_LISTED} more" if len(rejected) > _MAX_LISTED else ""
    years = {year for file in rejected for year in _likely_years(file.path.name, truth.year)}
    hint = f". Is the year right? Names as in {' or '.join(map(str, sorted(years)))}"
    return (
        f"{folder}: expected scores of {truth.year}, such as {expected}, "
        f"found {found or 'none'}{more}{hint if years else ''}"
    )


def _example(truth: GroundTruth) -> FileKey:
    """Return an expected file: of the ground truth, or else of the development set."""
    if truth.machines:
        return _expected_files(truth)[0]
    machine, sections = next(iter(CHALLENGES[truth.year].sets["dev"].items()))
    domain = "source" if scoring_rules(truth.year).domain_files else ""
    return FileKey("anomaly_score", machine, sections[0], domain)


def _likely_years(name: str, year: int) -> list[int]:
    """Return other years that a file is of, by its name, if it is of none of ``year``'s sets."""
    years = [other for other in years_named_like(name) if other != year]
    key = parse_file_name(name, scoring_rules(year))
    if key is None:
        return years
    if CHALLENGES[year].subset(key.machine, key.section):
        return []
    return [other for other in years if CHALLENGES[other].subset(key.machine, key.section)]
