"""Score and decision files of DCASE Task 2: their names in each year, and writing.

A file has no header, ``\\n`` line ends, and a row ``file_name,value`` for each test clip. Scores:
higher = more anomalous; decisions: 1 = anomalous.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asd_monitor.errors import DatasetError
from asd_offline.evaluation.rules import RULES
from asd_offline.evaluation.rules.scoring_rules import ScoringRules

Kind = Literal["anomaly_score", "decision_result"]
KINDS: tuple[Kind, ...] = ("anomaly_score", "decision_result")


@dataclass(frozen=True, slots=True)
class FileKey:
    """Content of a submitted file; ``domain`` is empty unless each domain has its own files."""

    kind: Kind
    machine: str
    section: str
    domain: str = ""


def file_name(key: FileKey, rules: ScoringRules) -> str:
    """Return the official name of a file, as the year's evaluator opens it."""
    return rules.submission_names[0].format(
        kind=key.kind, machine=key.machine, section=key.section, domain=key.domain
    )


def parse_file_name(name: str, rules: ScoringRules) -> FileKey | None:
    """Parse the name of a submitted file, in any naming of the year; None for other names."""
    groups = {
        "kind": "(?P<kind>anomaly_score|decision_result)",
        "machine": "(?P<machine>[^_]+)",
        "section": rf"(?P<section>{rules.section_word}_\d\d)",
        "domain": "(?P<domain>source|target)",
    }
    for template in rules.submission_names:
        pattern = template.replace(".", r"\.").replace("*", ".*").format(**groups)
        if match := re.fullmatch(pattern, name):
            parts = match.groupdict()
            kind: Kind = "anomaly_score" if parts["kind"] == "anomaly_score" else "decision_result"
            return FileKey(kind, parts["machine"], parts["section"], parts.get("domain") or "")
    return None


def years_named_like(name: str) -> list[int]:
    """Return the years in which a submitted file may have that name."""
    return [year for year, rules in RULES.items() if parse_file_name(name, rules)]


def write_submission_file(path: Path, values: Mapping[str, float | int]) -> None:
    """Write a score or decision file (replacing it), rows in order of clip names.

    Scores are written so that reading them gives the same float64 again. Names are quoted where
    they need it, which official names never do.

    Raises
    ------
    DatasetError
        If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = ((name, repr(values[name])) for name in sorted(values))
            csv.writer(file, lineterminator="\n").writerows(rows)
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise DatasetError(msg) from error
