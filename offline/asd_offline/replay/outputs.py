"""The files of a replay: official CSVs, windows, JSON, models and the report."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from asd_monitor.errors import DatasetError
from asd_offline.evaluation.official_csv import official_csv
from asd_offline.evaluation.submission_files import KINDS, FileKey, Kind, file_name
from asd_offline.jobs.pool import JobPool
from asd_offline.replay.collect import Replayed, ScoredClip, SectionReplay, rules_of
from asd_offline.replay.job_results import ClipRow, Shared
from asd_offline.replay.plan import Plan

RESULT = "result.json"
TABLE = "result.csv"
WINDOWS = "window_scores.csv"
REPORT = "report.html"
MODELS = "models"

WINDOW_COLUMNS = (
    "machine",
    "section",
    "file",
    "label",
    "domain",
    "start_s",
    "score",
    "p_value",
    "extrapolated",
    "threshold",
    "quality",
    "level_dbfs",
)
_OURS = re.compile(rf"({'|'.join(KINDS)})_.*\.csv|models/.*\.pt")


class WindowFile:
    """Scores of all windows as CSV, written as they are read; nothing without a folder."""

    def __init__(self, opened: IO[str] | None) -> None:
        self._writer = None if opened is None else csv.writer(opened, lineterminator="\n")
        if self._writer is not None:
            self._writer.writerow(WINDOW_COLUMNS)

    @classmethod
    @contextmanager
    def open(cls, out: Path | None) -> "Iterator[WindowFile]":
        """Open ``window_scores.csv``; it is there only once all is written."""
        if out is None:
            yield cls(None)
            return
        unfinished = out / f".{WINDOWS}.unfinished"
        try:
            with _writable(unfinished).open("w", encoding="utf-8", newline="") as opened:
                yield cls(opened)
            unfinished.replace(out / WINDOWS)
        except OSError as error:
            raise _unwritable(out / WINDOWS, error) from error
        finally:
            unfinished.unlink(missing_ok=True)

    def write(self, row: ClipRow, shared: Shared) -> None:
        """Write the windows of a clip."""
        if self._writer is None:
            return
        clip = row.clip
        label = {0: "normal", 1: "anomaly", None: ""}[clip.label]
        for each in row.windows:
            self._writer.writerow(
                (
                    clip.machine,
                    clip.section,
                    clip.name,
                    label,
                    clip.domain,
                    repr(each.start / shared.sample_rate_hz),
                    _cell(each.value),
                    _cell(each.p_value),
                    int(each.extrapolated),
                    _cell(shared.threshold),
                    each.quality,
                    _cell(each.level_dbfs),
                )
            )


def write_outputs(
    out: Path,
    plan: Plan,
    replayed: Replayed,
    pool: JobPool,
    report: Callable[[str, float, float], None],
) -> None:
    """Write everything but the windows to ``out``, replacing what an earlier replay wrote.

    Raises
    ------
    DatasetError
        If something cannot be written.
    """
    from asd_offline.report import write_report

    _remove_earlier(out)
    written = [*_write_submission(out, replayed), *_copy_models(out, plan, replayed)]
    write_report(out / REPORT, plan, replayed, pool, report)
    document = replayed.to_json() | {"files": [str(path.relative_to(out)) for path in written]}
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


def _write_submission(out: Path, replayed: Replayed) -> Iterator[Path]:
    rules = rules_of((c.clip for s in replayed.sections for c in s.clips), replayed.year)
    names = section_stems(replayed.sections)
    for (machine, section), each in zip(names, replayed.sections, strict=True):
        if rules == 2021:
            groups = {
                domain: [c for c in each.clips if c.clip.domain == domain]
                for domain in ("source", "target")
            }
        else:
            groups = {"": list(each.clips)}
        for domain, clips in groups.items():
            kinds = [kind for kind in KINDS if clips and _values(kind, clips) is not None]
            for kind in kinds:
                key = FileKey(kind, machine, section, domain)
                yield _write_values(out / file_name(key, rules), _values(kind, clips) or {})


def _values(kind: Kind, clips: Sequence[ScoredClip]) -> dict[str, float | int] | None:
    if kind == "anomaly_score":
        return {each.clip.name: each.score for each in clips}
    decisions = {each.clip.name: each.decision for each in clips}
    return {n: d for n, d in decisions.items() if d is not None} or None


def _write_values(path: Path, values: dict[str, float | int]) -> Path:
    """Write an official file; names of one's own recordings are quoted where they need it."""
    try:
        with _writable(path).open("w", encoding="utf-8", newline="") as opened:
            rows = ((name, repr(values[name])) for name in sorted(values))
            csv.writer(opened, lineterminator="\n").writerows(rows)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def _copy_models(out: Path, plan: Plan, replayed: Replayed) -> Iterator[Path]:
    """Keep the detectors that were fitted: each is a model file like any other."""
    if plan.given:
        return
    for (machine, section), each in zip(
        section_stems(replayed.sections), replayed.sections, strict=True
    ):
        if each.sha256 is None:
            continue
        path = out / MODELS / f"{machine}_{section}.pt"
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


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)
