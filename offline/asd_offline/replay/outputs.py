"""Files of a replay: official CSVs, JSON and fitted models."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asd_monitor.errors import DatasetError
from asd_offline.evaluation.official_csv import official_csv
from asd_offline.evaluation.submission_files import (
    KINDS,
    FileKey,
    file_name,
    write_submission_file,
)
from asd_offline.replay.plan import Plan
from asd_offline.replay.results import ReplayResult, SectionReplay

RESULT = "result.json"
TABLE = "result.csv"
MODELS = "models"

_WRITTEN_HERE = re.compile(rf"({'|'.join(KINDS)})_.*\.csv|models/.*\.asd")


def write_outputs(out: Path, plan: Plan, result: ReplayResult) -> None:
    """Write everything but windows and report, replacing the files of an earlier replay.

    Parameters
    ----------
    out
        Folder to write to.
    plan, result
        What was replayed, and the result.

    Raises
    ------
    DatasetError
        If a file cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        _remove_earlier(out)
        files = [*_write_submission(out, result), *_copy_models(out, plan, result)]
        document = result.to_dict() | {"files": [str(path.relative_to(out)) for path in files]}
        for name, text in (
            (TABLE, official_csv(result.challenge)),
            (RESULT, json.dumps(document, allow_nan=False, indent=2) + "\n"),
        ):
            (out / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        msg = f"{error.filename or out}: cannot be written: {error.strerror or error}"
        raise DatasetError(msg) from error


def _remove_earlier(out: Path) -> None:
    """Remove the files that the result of an earlier replay lists, if named as they are here."""
    try:
        document: Any = json.loads((out / RESULT).read_text(encoding="utf-8"))
        names = [str(name) for name in document["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for name in names:
        if _WRITTEN_HERE.fullmatch(name) and ".." not in Path(name).parts:
            (out / name).unlink(missing_ok=True)


def _write_submission(out: Path, result: ReplayResult) -> Iterator[Path]:
    rules = result.challenge.rules
    for (machine, name), section in _with_file_names(result):
        for domain in ("source", "target") if rules.domain_files else ("",):
            clips = [r for r in section.clips if not domain or r.clip.domain == domain]
            for kind in KINDS:
                values: dict[str, float | int] = {}
                for clip_result in clips:
                    is_score = kind == "anomaly_score"
                    value = clip_result.value if is_score else section.decision(clip_result)
                    if value is not None:
                        values[clip_result.clip.name] = value
                if values:
                    path = out / file_name(FileKey(kind, machine, name, domain), rules)
                    write_submission_file(path, values)
                    yield path


def _copy_models(out: Path, plan: Plan, result: ReplayResult) -> Iterator[Path]:
    """Copy the detectors that were fitted: each is a model file like any other."""
    if plan.model is not None:
        return
    for (machine, name), section in _with_file_names(result):
        if section.manifest is not None:
            path = out / MODELS / f"{machine}_{name}.asd"
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(plan.model_path(section.plan), path)
            yield path


def _with_file_names(result: ReplayResult) -> list[tuple[tuple[str, str], SectionReplay]]:
    """Return machine and section as they are written in file names, unique, and each section."""
    named: dict[tuple[str, str], SectionReplay] = {}
    for section in result.sections:
        machine, name = _as_file_name(section.plan.machine), _as_file_name(section.plan.section)
        key, number = (machine, name), 2
        while key in named:
            key = (f"{machine}.{number}", name)
            number += 1
        named[key] = section
    return list(named.items())


def _as_file_name(name: str) -> str:
    return re.sub(r"[^\w.-]|^\.", "-", name)[:80] or "-"
