"""Official datasets from their records: resumed, verified, unpacked to where they are read."""

import difflib
import filecmp
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asd_monitor.errors import DatasetError
from asd_monitor.file_lock import file_lock
from asd_offline.datasets.challenge import ArchiveSet, Challenge, SetName
from asd_offline.datasets.download.http import Patience, Progress, RemoteFile, fetch, md5_of
from asd_offline.datasets.download.unzip import Unpacked, unpack
from asd_offline.datasets.download.zenodo import SERVER, read_record
from asd_offline.datasets.layouts import CHALLENGES

NOTES_FOLDER = ".download"
"""Below the output folder: unfinished archives, and a note on each that was unpacked."""


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive of a plan."""

    file: RemoteFile
    machine: str
    subset: SetName


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one archive."""

    name: str
    machine: str
    subset: SetName
    state: Literal["kept", "downloaded"]
    files: int
    size_bytes: int
    """Size of the archive."""


def download(
    year: int,
    out: Path,
    progress: Progress,
    *,
    machines: Sequence[str] = (),
    subsets: Sequence[SetName] = ("dev",),
    server: str = SERVER,
    patience: Patience | None = None,
) -> list[Result]:
    """Get the archives of a year and unpack them to ``out/dev_data`` and ``out/eval_data``.

    Parameters
    ----------
    machines
        Machine types to get; empty for all.
    subsets
        ``eval`` consists of the additional training data and the evaluation clips.

    Raises
    ------
    DatasetError
        If the year or a machine is unknown, or anything on the way fails. What has arrived stays,
        and the same call continues there.
    """
    patience = patience or Patience()
    if year not in CHALLENGES:
        msg = f"DCASE {year} cannot be downloaded; available are {', '.join(map(str, CHALLENGES))}"
        raise DatasetError(msg)
    wanted = _choose_machines(CHALLENGES[year], machines, subsets)
    with _alone(out, year) as notes:
        plan = _plan(CHALLENGES[year], wanted, subsets, server, patience)
        _require_room(plan, out, notes)
        return [_get(archive, year, out, notes, progress, patience) for archive in plan]


def _choose_machines(
    year: Challenge, machines: Sequence[str], subsets: Iterable[SetName]
) -> frozenset[str]:
    """Official spellings of the machines asked for; all of the sets where none is."""
    offered = {m.lower(): m for name in subsets for m in year.sets[name]}
    unknown = [machine for machine in machines if machine.lower() not in offered]
    if unknown:
        near = difflib.get_close_matches(unknown[0].lower(), list(offered), n=3)
        hint = f"; nearest: {', '.join(offered[name] for name in near)}" if near else ""
        msg = (
            f"DCASE {year.year} has no machine {', '.join(unknown)} in the sets asked for; "
            f"it has {', '.join(sorted(offered.values()))}{hint}"
        )
        raise DatasetError(msg)
    return frozenset(offered[machine.lower()] for machine in machines or offered)


def _plan(
    year: Challenge,
    machines: frozenset[str],
    subsets: Iterable[SetName],
    server: str,
    patience: Patience,
) -> list[Archive]:
    plan = []
    for archives in year.archives:
        chosen = [m for m in year.sets[archives.subset] if m in machines]
        if archives.subset not in subsets or not chosen:
            continue
        files = read_record(archives.record, server, patience)
        plan += [_find(archives, machine, files) for machine in chosen]
    return plan


def _find(archives: ArchiveSet, machine: str, files: dict[str, RemoteFile]) -> Archive:
    name = archives.archive.format(machine=machine)
    if name not in files:
        msg = (
            f"record {archives.record} ({archives.title}): expected {name}, "
            f"found {', '.join(sorted(files)) or 'no files'}"
        )
        raise DatasetError(msg)
    return Archive(files[name], machine, archives.subset)


@contextmanager
def _alone(out: Path, year: int) -> Iterator[Path]:
    """Own the output folder while downloading; give the folder for notes."""
    notes = out / NOTES_FOLDER
    try:
        notes.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{out}: cannot be written ({error.strerror}); give a folder of your own"
        raise DatasetError(msg) from error
    taken = f"{out}: another download into this folder is running"
    with file_lock(notes / "lock", DatasetError, taken):
        _refuse_other_years(notes, year)
        yield notes


def _refuse_other_years(notes: Path, year: int) -> None:
    mark = notes / "year"
    held = mark.read_text(encoding="ascii").strip() if mark.exists() else str(year)
    if held != str(year):
        msg = f"{notes.parent}: holds DCASE {held}; give another folder for {year}"
        raise DatasetError(msg)
    mark.write_text(f"{year}\n", encoding="ascii")


def _require_room(plan: Sequence[Archive], out: Path, notes: Path) -> None:
    """Refuse before the first byte what cannot fit even if nothing grew by unpacking."""
    missing = [archive.file for archive in plan if _noted(archive, out, notes) is None]
    needed = sum(file.size_bytes for file in missing)
    there = sum(path.stat().st_size for path in notes.glob("*.zip*"))
    free = shutil.disk_usage(out).free
    if free + there < needed:
        msg = f"{out}: needs more than {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
        raise DatasetError(msg)


def _get(
    archive: Archive, year: int, out: Path, notes: Path, progress: Progress, patience: Patience
) -> Result:
    file = archive.file
    if (count := _noted(archive, out, notes)) is not None:
        progress.say(f"{file.name}: already there ({count} files)")
        return Result(file.name, archive.machine, archive.subset, "kept", count, file.size_bytes)
    given, own = out / file.name, notes / file.name
    if given.exists():
        _require_same(given, file)
        progress.say(f"{file.name}: found, its checksum is right")
    elif not (own.exists() and md5_of(own) == file.md5):
        fetch(file, own, progress, patience)
    progress.say(f"{file.name}: unpacking")
    members = _place(given if given.exists() else own, archive, out, notes)
    _note(archive, year, members, out, notes)
    own.unlink(missing_ok=True)
    state: Literal["downloaded"] = "downloaded"
    return Result(file.name, archive.machine, archive.subset, state, len(members), file.size_bytes)


def _require_same(given: Path, file: RemoteFile) -> None:
    if given.stat().st_size == file.size_bytes and md5_of(given) == file.md5:
        return
    msg = (
        f"{given}: is there, but is not the file of the record ({given.stat().st_size} bytes and "
        f"not {file.size_bytes}, or another checksum); move it away and try again"
    )
    raise DatasetError(msg)


def _place(packed: Path, archive: Archive, out: Path, notes: Path) -> list[Path]:
    """Unpack beside the target, then move file by file; give the paths relative to ``out``."""
    staging = notes / "unpacking"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        members = unpack(packed, staging)
        target = _target(archive, members, out)
        moves = [(staging / m.relative, target / m.relative) for m in members]
        for source, goal in moves:
            if goal.exists() and not filecmp.cmp(source, goal, shallow=False):
                msg = f"{goal}: is there and differs from the official file; move it away"
                raise DatasetError(msg)
        for source, goal in moves:
            goal.parent.mkdir(parents=True, exist_ok=True)
            source.replace(goal)
        return [goal.relative_to(out) for _, goal in moves]
    except OSError as error:
        msg = f"{out}: cannot be written: {error}"
        raise DatasetError(msg) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _target(archive: Archive, members: Iterable[Unpacked], out: Path) -> Path:
    """Folder of the set; of the machine, where the archive does not hold that folder itself."""
    folder = out / f"{archive.subset}_data"
    tops = {member.relative.parts[0].lower() for member in members}
    return folder if tops == {archive.machine.lower()} else folder / archive.machine


def _note(archive: Archive, year: int, members: Iterable[Path], out: Path, notes: Path) -> None:
    note = {
        "year": year,
        "archive": archive.file.name,
        "size_bytes": archive.file.size_bytes,
        "md5": archive.file.md5,
        "files": {str(path): (out / path).stat().st_size for path in members},
    }
    path = notes / f"{archive.file.name}.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps(note, indent=0), encoding="utf-8")
    new.replace(path)


def _noted(archive: Archive, out: Path, notes: Path) -> int | None:
    """Number of files of an archive that lie there whole; None if anything is missing."""
    path = notes / f"{archive.file.name}.json"
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        if (note["size_bytes"], note["md5"]) != (archive.file.size_bytes, archive.file.md5):
            return None
        files = note["files"].items()
        whole = all((out / name).stat().st_size == size for name, size in files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return len(files) if whole else None
