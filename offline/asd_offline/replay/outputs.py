"""Files of a replay: official CSVs, JSON and fitted models."""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asd_monitor.errors import DatasetError
from asd_offline.evaluation.official_csv import official_csv
from asd_offline.evaluation.submission_files import (
    KINDS,
    FileKey,
    Kind,
    file_name,
    write_submission_file,
)
from asd_offline.replay.plan import Plan
from asd_offline.replay.results import ClipResult, ReplayResult, SectionReplay, select_rules

RESULT = "result.json"
TABLE = "result.csv"
MODELS = "models"

_OURS = re.compile(rf"({'|'.join(KINDS)})_.*\.csv|models/.*\.asd")


def write_outputs(out: Path, plan: Plan, replayed: ReplayResult) -> None:
    """Write everything but windows and report to ``out``, replacing what an earlier replay wrote.

    Raises
    ------
    DatasetError
        If something cannot be written.
    """
    _remove_earlier(out)
    written = [*_write_submission(out, replayed), *_copy_models(out, plan, replayed)]
    document = replayed.to_dict() | {"files": [str(path.relative_to(out)) for path in written]}
    _write(out / TABLE, official_csv(replayed.result))
    _write(out / RESULT, json.dumps(document, allow_nan=False, indent=2) + "\n")


def section_stems(sections: Sequence[SectionReplay]) -> list[tuple[str, str]]:
    """Machine and section of each as they may stand in a file's name, no two alike."""
    stems: list[tuple[str, str]] = []
    for each in sections:
        machine, section = _safe(each.plan.machine), _safe(each.plan.section)
        number = 2
        while (machine, section) in stems:
            machine = f"{_safe(each.plan.machine)}.{number}"
            number += 1
        stems.append((machine, section))
    return stems


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]|^\.", "-", name)[:80] or "-"


def _write_submission(out: Path, replayed: ReplayResult) -> Iterator[Path]:
    rules = select_rules((c.clip for s in replayed.sections for c in s.clips), replayed.year)
    names = section_stems(replayed.sections)
    for (machine, section), each in zip(names, replayed.sections, strict=True):
        if rules.domain_files:
            groups = {
                domain: [c for c in each.clips if c.clip.domain == domain]
                for domain in ("source", "target")
            }
        else:
            groups = {"": list(each.clips)}
        for domain, clips in groups.items():
            for kind in KINDS:
                values = _values(kind, each, clips)
                if values:
                    path = out / file_name(FileKey(kind, machine, section, domain), rules)
                    write_submission_file(path, values)
                    yield path


def _values(
    kind: Kind, section: SectionReplay, clips: Sequence[ClipResult]
) -> dict[str, float | int]:
    if kind == "anomaly_score":
        return {result.clip.name: result.value for result in clips}
    decisions = {result.clip.name: section.decision(result) for result in clips}
    return {name: value for name, value in decisions.items() if value is not None}


def _copy_models(out: Path, plan: Plan, replayed: ReplayResult) -> Iterator[Path]:
    """Keep the detectors that were fitted: each is a model file like any other."""
    if plan.given:
        return
    for (machine, section), each in zip(
        section_stems(replayed.sections), replayed.sections, strict=True
    ):
        if each.sha256 is None:
            continue
        path = out / MODELS / f"{machine}_{section}.asd"
        try:
            shutil.copyfile(plan.model_path(each.plan), _writable(path))
        except OSError as error:
            raise _unwritable(path, error) from error
        yield path


def _remove_earlier(out: Path) -> None:
    """Remove the files that an earlier replay lists in its result, by our names alone."""
    try:
        found: Any = json.loads((out / RESULT).read_text(encoding="utf-8"))
        files = [str(name) for name in found["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for name in files:
        if _OURS.fullmatch(name) and ".." not in Path(name).parts:
            (out / name).unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    try:
        _writable(path).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise _unwritable(path, error) from error


def _writable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _unwritable(path: Path, error: OSError) -> DatasetError:
    return DatasetError(f"{path}: cannot be written: {error.strerror or error}")
