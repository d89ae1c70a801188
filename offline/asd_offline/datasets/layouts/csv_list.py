"""A CSV that lists recordings: ``path,label`` and, where wanted, split, machine, section, domain.

Relative paths start at the folder of the CSV and must not leave it; absolute paths are taken as
they are, since whoever wrote one meant that file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from asd_monitor.errors import DatasetError
from asd_offline.datasets.clip import (
    ANOMALY,
    NORMAL,
    Clip,
    Dataset,
    Domain,
    Rejected,
    Split,
    in_order,
)
from asd_offline.datasets.csv_rows import numbered_rows
from asd_offline.datasets.layouts.labelled_folders import WHOLE
from asd_offline.datasets.scan import AUDIO_SUFFIXES
from asd_offline.datasets.train_split import assign_train_split

COLUMNS = ("path", "label", "split", "machine", "section", "domain")
_LABELS: dict[str, int | None] = {
    "normal": NORMAL,
    "0": NORMAL,
    "anomaly": ANOMALY,
    "abnormal": ANOMALY,
    "1": ANOMALY,
    "": None,
}
_SPLITS = ("train", "test", "")
_DOMAINS = ("source", "target", "")


def open_listing(path: Path) -> Dataset:
    """Read a list of recordings.

    Raises
    ------
    DatasetError
        If the list is no such CSV, or a row is wrong; the message names the row.
    """
    clips: list[Clip] = []
    told: set[Path] = set()
    rejected: list[Rejected] = []
    seen: dict[Path, int] = {}
    for number, row in _rows(path):
        clip = _clip(path, number, row)
        if clip.path in seen:
            msg = f"{path}: row {number}: {clip.path} was listed before, in row {seen[clip.path]}"
            raise DatasetError(msg)
        seen[clip.path] = number
        if reason := _refusal(clip.path):
            rejected.append(Rejected(clip.path, reason))
        else:
            clips.append(clip)
            if row.get("split"):
                told.add(clip.path)
    if not clips:
        found = f"first: {rejected[0].path}: {rejected[0].reason}" if rejected else "no rows"
        msg = f"{path}: expected rows that name recordings, found none that exists ({found})"
        raise DatasetError(msg)
    shared, notes = assign_train_split(clips, told)
    return Dataset(path, None, in_order(shared), tuple(rejected), tuple(notes))


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: expected a CSV of path,label in UTF-8: {error}"
        raise DatasetError(msg) from error
    first = text.partition("\n")[0]
    rows = numbered_rows(path, text, ";" if first.count(";") > first.count(",") else ",")
    header = [cell.strip().lower() for cell in next(rows, (1, []))[1]]
    unknown = [cell for cell in header if cell not in COLUMNS]
    if not {"path", "label"} <= set(header) or unknown or len(set(header)) < len(header):
        msg = (
            f"{path}: row 1: expected a header path,label and any of {', '.join(COLUMNS[2:])}; "
            f"found {first[:80].strip()!r}"
        )
        raise DatasetError(msg)
    found = []
    for number, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            msg = f"{path}: row {number}: expected {len(header)} columns, found {len(row)}"
            raise DatasetError(msg)
        found.append((number, dict(zip(header, (cell.strip() for cell in row), strict=True))))
    return found


def _clip(listing: Path, number: int, row: Mapping[str, str]) -> Clip:
    where = f"{listing}: row {number}"
    sound = _inside(listing.parent, row["path"], where)
    label = _LABELS[_one_of(where, "label", row["label"], tuple(_LABELS))]
    split = _one_of(where, "split", row.get("split", ""), _SPLITS)
    if split == "train" and label != NORMAL:
        msg = f"{where}: expected label normal in the training split, found {row['label']!r}"
        raise DatasetError(msg)
    folder = os.path.basename(os.path.abspath(listing.parent)) or "machine"
    return Clip(
        path=sound,
        year=None,
        machine=row.get("machine") or folder,
        section=row.get("section") or WHOLE,
        domain=cast("Domain", _one_of(where, "domain", row.get("domain", ""), _DOMAINS)),
        split=cast("Split", split or "test"),
        label=label,
        name=os.path.normpath(row["path"]),
    )


def _one_of(where: str, column: str, text: str, allowed: tuple[str, ...]) -> str:
    if text.lower() not in allowed:
        words = ", ".join(word or "nothing" for word in allowed)
        msg = f"{where}: expected one of {words} as {column}, found {text!r}"
        raise DatasetError(msg)
    return text.lower()


def _inside(folder: Path, text: str, where: str) -> Path:
    if not text or "\0" in text:
        msg = f"{where}: expected the path of a recording, found {text!r}"
        raise DatasetError(msg)
    sound = Path(text)
    if sound.is_absolute():
        return Path(os.path.normpath(sound))
    normal = os.path.normpath(sound)
    if normal == ".." or normal.startswith(f"..{os.sep}"):
        msg = (
            f"{where}: {text} leaves the folder of the list; write an absolute path if it is meant"
        )
        raise DatasetError(msg)
    return folder / normal


def _refusal(path: Path) -> str:
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        return f"not one of {', '.join(sorted(AUDIO_SUFFIXES))}"
    return "" if path.is_file() else "no such file"
