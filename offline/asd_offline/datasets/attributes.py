"""Read ``attributes_<SS>.csv``: one row per clip with names and values of its conditions."""

import csv
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from asd_offline.datasets.clip import Rejected
from asd_offline.datasets.layouts.attribute_words import distinct_keys

SUFFIX = ".wav"
Attributes = tuple[tuple[str, str], ...]


def read_attribute_lists(
    paths: Iterable[Path],
) -> tuple[dict[tuple[Path, str], Attributes], list[Rejected]]:
    """Read all lists; keys are (the machine's folder, file name).

    A list that cannot be read is rejected; the attributes of its clips then come from file names.
    """
    attributes: dict[tuple[Path, str], Attributes] = {}
    rejected = []
    for path in paths:
        try:
            rows = _read(path)
        except (OSError, ValueError, csv.Error) as error:
            reason = f"attribute list cannot be read ({error}); file names are used instead"
            rejected.append(Rejected(path, reason))
            continue
        attributes.update({(path.parent, name): pairs for name, pairs in rows.items()})
    return attributes, rejected


def _read(path: Path) -> dict[str, Attributes]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if not header or header[0] != "file_name":
            msg = f"expected a header file_name,d1p,d1v,..., found {','.join(header)[:60]!r}"
            raise ValueError(msg)
        columns = [
            (header.index(f"d{number}p"), header.index(f"d{number}v"))
            for number in range(1, len(header))
            if f"d{number}p" in header and f"d{number}v" in header
        ]
        return {
            _file_name(row[0]): distinct_keys(
                (row[name], row[value]) for name, value in columns if value < len(row) and row[name]
            )
            for row in rows
            if row
        }


def _file_name(listed: str) -> str:
    """Return the file name of a listed clip, which may lack folders and suffix."""
    name = PurePosixPath(listed).name
    return name if name.lower().endswith(SUFFIX) else name + SUFFIX
