"""A CSV that lists recordings: ``path,label``, and optionally more about each.

Relative paths start at the folder of the CSV and must not leave it; absolute paths are used as
they are.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from asd_monitor.audio.files import AUDIO_SUFFIXES
from asd_monitor.audio.label_words import label_of
from asd_monitor.errors import DatasetError
from asd_monitor.unicode_names import find_path
from asd_offline.datasets.clip import (
    ANOMALY,
    NORMAL,
    UNDIVIDED,
    Clip,
    Dataset,
    Domain,
    Rejected,
    Split,
    sort_clips,
)
from asd_offline.datasets.csv_rows import numbered_rows
from asd_offline.datasets.layouts.attribute_words import distinct_keys
from asd_offline.datasets.train_split import assign_train_split

COLUMNS = ("path", "label", "split", "machine", "section", "domain", "attributes")
_LABELS: dict[str, int | None] = {"0": NORMAL, "1": ANOMALY, "": None}
_SPLITS = ("train", "test", "")
_DOMAINS = ("source", "target", "")


def open_csv_list(path: Path) -> Dataset:
    """Read a list of recordings.

    Raises
    ------
    DatasetError
        If the file is not such a CSV, or a row is invalid; the message names the row.
    """
    clips: list[Clip] = []
    explicit: set[Path] = set()
    rejected: list[Rejected] = []
    seen: dict[Path, int] = {}
    for number, row in _rows(path):
        clip = _clip(path, number, row)
        if clip.path in seen:
            msg = f"{path}: row {number}: {clip.path} was listed before, in row {seen[clip.path]}"
            raise DatasetError(msg)
        seen[clip.path] = number
        if reason := _why_rejected(clip.path):
            rejected.append(Rejected(clip.path, reason))
            continue
        clips.append(clip)
        if row.get("split"):
            explicit.add(clip.path)
    if not clips:
        found = f"first: {rejected[0].path}: {rejected[0].reason}" if rejected else "no rows"
        msg = f"{path}: expected rows that name recordings, found none that exists ({found})"
        raise DatasetError(msg)
    assigned, notes = assign_train_split(clips, explicit)
    return Dataset(path, None, sort_clips(assigned), tuple(rejected), tuple(notes))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
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
    for number, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            msg = f"{path}: row {number}: expected {len(header)} columns, found {len(row)}"
            raise DatasetError(msg)
        yield number, dict(zip(header, (cell.strip() for cell in row), strict=True))


def _clip(csv_path: Path, number: int, row: Mapping[str, str]) -> Clip:
    where = f"{csv_path}: row {number}"
    path = _resolve(csv_path.parent, row["path"], where)
    label = _label(where, row["label"])
    split = _choice(where, "split", row.get("split", ""), _SPLITS)
    if split == "train" and label != NORMAL:
        msg = f"{where}: expected label normal in the training split, found {row['label']!r}"
        raise DatasetError(msg)
    folder = os.path.basename(os.path.abspath(csv_path.parent)) or "machine"
    return Clip(
        path=path,
        year=None,
        machine=row.get("machine") or folder,
        section=row.get("section") or UNDIVIDED,
        domain=cast("Domain", _choice(where, "domain", row.get("domain", ""), _DOMAINS)),
        split=cast("Split", split or "test"),
        label=label,
        attributes=_attributes(where, row.get("attributes", "")),
        name=os.path.normpath(row["path"]),
    )


def _attributes(where: str, text: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of a cell such as ``spd=2 load=high``."""
    pairs = []
    for word in text.split():
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            msg = f"{where}: expected attributes such as 'spd=2 load=high', found {word!r}"
            raise DatasetError(msg)
        pairs.append((key, value))
    return distinct_keys(pairs)


def _label(where: str, text: str) -> int | None:
    if text in _LABELS:
        return _LABELS[text]
    label = label_of(text)
    if label is None:
        msg = (
            f"{where}: expected one of normal, anomaly, a word for them such as OK or faulty, 0, 1 "
            f"or nothing as label, found {text!r}"
        )
        raise DatasetError(msg)
    return label


def _choice(where: str, column: str, text: str, allowed: tuple[str, ...]) -> str:
    if text.lower() not in allowed:
        words = ", ".join(word or "nothing" for word in allowed)
        msg = f"{where}: expected one of {words} as {column}, found {text!r}"
        raise DatasetError(msg)
    return text.lower()


def _resolve(folder: Path, text: str, where: str) -> Path:
    if not text or "\0" in text:
        msg = f"{where}: expected the path of a recording, found {text!r}"
        raise DatasetError(msg)
    normal = os.path.normpath(text)
    if os.path.isabs(normal):
        return find_path(Path(normal))
    if normal == ".." or normal.startswith(f"..{os.sep}"):
        msg = f"{where}: {text} is outside the folder of the list; use an absolute path instead"
        raise DatasetError(msg)
    return find_path(folder / normal)


def _why_rejected(path: Path) -> str:
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        return f"not one of {', '.join(AUDIO_SUFFIXES)}"
    return "" if path.is_file() else "no such file"
