"""Download a challenge's archives, verify them and unpack them for `open_dataset`."""

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
from asd_monitor.progress import Progress
from asd_offline.datasets.challenge import ArchiveSet, Challenge, SetName
from asd_offline.datasets.download.http import RemoteFile, RetryPolicy, fetch, md5_of
from asd_offline.datasets.download.unzip import Unpacked, unpack
from asd_offline.datasets.download.zenodo import SERVER, read_record
from asd_offline.datasets.layouts import CHALLENGES
from asd_offline.datasets.year_record import DOWNLOAD_STATE, YEAR_FILE


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """Result of one archive."""

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
    retry: RetryPolicy | None = None,
) -> list[DownloadResult]:
    """Download the archives of a year and unpack them to ``out/dev_data`` and ``out/eval_data``.

    Parameters
    ----------
    year
        Year of the challenge.
    out
        Folder for the dataset; it is created if missing.
    progress
        Receives the bytes of each archive.
    machines
        Machine types to download; empty for all.
    subsets
        ``eval`` consists of the additional training data and the evaluation clips.
    server
        Zenodo, or a mirror with the same interface.
    retry
        When to repeat failed requests; the default policy if None.

    Raises
    ------
    DatasetError
        If the year or a machine is unknown, or a step fails. Received data is kept, and the same
        call resumes.
    """
    if year not in CHALLENGES:
        available = ", ".join(map(str, CHALLENGES))
        msg = f"DCASE {year} cannot be downloaded; available are {available}"
        raise DatasetError(msg)
    challenge = CHALLENGES[year]
    chosen = _choose_machines(challenge, machines, subsets)
    target = _Target(challenge, out, progress, retry or RetryPolicy())
    with target.lock():
        archives = target.list_archives(chosen, subsets, server)
        target.require_space(archives)
        return [target.install(archive) for archive in archives]


def _choose_machines(
    challenge: Challenge, machines: Sequence[str], subsets: Iterable[SetName]
) -> frozenset[str]:
    """Return the official spellings of the requested machines, or all machines of the sets."""
    offered = {m.lower(): m for name in subsets for m in challenge.sets[name]}
    unknown = [machine for machine in machines if machine.lower() not in offered]
    if unknown:
        near = difflib.get_close_matches(unknown[0].lower(), list(offered), n=3)
        hint = f"; nearest: {', '.join(offered[name] for name in near)}" if near else ""
        msg = (
            f"DCASE {challenge.year} has no machine {', '.join(unknown)} in the requested sets; "
            f"it has {', '.join(sorted(offered.values()))}{hint}"
        )
        raise DatasetError(msg)
    return frozenset(offered[machine.lower()] for machine in machines or offered)


@dataclass(frozen=True, slots=True)
class _Archive:
    """One archive to download."""

    file: RemoteFile
    machine: str
    subset: SetName


@dataclass(frozen=True, slots=True)
class _Target:
    """An output folder, and what is needed to fill it."""

    challenge: Challenge
    out: Path
    progress: Progress
    retry: RetryPolicy

    @property
    def state(self) -> Path:
        """Folder of unfinished archives, and of a receipt for each unpacked one."""
        return self.out / DOWNLOAD_STATE

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Reserve the output folder for this download, creating it if missing."""
        try:
            self.state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{self.out}: cannot be written ({error.strerror}); choose another folder"
            raise DatasetError(msg) from error
        taken = f"{self.out}: another download into this folder is running"
        with file_lock(self.state / "lock", DatasetError, taken):
            self._refuse_other_years()
            yield

    def _refuse_other_years(self) -> None:
        mark, year = self.state / YEAR_FILE, str(self.challenge.year)
        found = mark.read_text(encoding="ascii").strip() if mark.exists() else year
        if found != year:
            msg = f"{self.out}: holds DCASE {found}; give another folder for {year}"
            raise DatasetError(msg)
        mark.write_text(f"{year}\n", encoding="ascii")

    def list_archives(
        self, machines: frozenset[str], subsets: Iterable[SetName], server: str
    ) -> list[_Archive]:
        """Look up the archives of the machines in the challenge's records."""
        archives = []
        for archive_set in self.challenge.archives:
            official = self.challenge.sets[archive_set.subset]
            chosen = [machine for machine in official if machine in machines]
            if archive_set.subset not in subsets or not chosen:
                continue
            files = read_record(archive_set.record, server, self.retry)
            archives += [_find_archive(archive_set, machine, files) for machine in chosen]
        return archives

    def require_space(self, archives: Sequence[_Archive]) -> None:
        """Raise DatasetError if the disk has no room even for the packed archives."""
        missing = [a.file for a in archives if self._verified_file_count(a) is None]
        needed = sum(file.size_bytes for file in missing)
        received = sum(path.stat().st_size for path in self.state.glob("*.zip*"))
        free = shutil.disk_usage(self.out).free
        if free + received < needed:
            msg = f"{self.out}: needs more than {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
            raise DatasetError(msg)

    def install(self, archive: _Archive) -> DownloadResult:
        """Download, verify and unpack an archive, unless its files are already present."""
        file = archive.file
        count = self._verified_file_count(archive)
        if count is not None:
            self.progress.message(f"{file.name}: already present ({count} files)")
            return DownloadResult(
                file.name, archive.machine, archive.subset, "kept", count, file.size_bytes
            )
        provided, downloaded = self.out / file.name, self.state / file.name
        if provided.exists():
            _require_same(provided, file)
            self.progress.message(f"{file.name}: found, its checksum is right")
        elif not (downloaded.exists() and md5_of(downloaded) == file.md5):
            fetch(file, downloaded, self.progress, self.retry)
        self.progress.message(f"{file.name}: unpacking")
        members = self._unpack(provided if provided.exists() else downloaded, archive)
        self._write_receipt(archive, members)
        downloaded.unlink(missing_ok=True)
        return DownloadResult(
            file.name, archive.machine, archive.subset, "downloaded", len(members), file.size_bytes
        )

    def _unpack(self, packed: Path, archive: _Archive) -> list[Path]:
        """Unpack to a temporary folder, then move each file; return paths relative to ``out``."""
        staging = self.state / "unpacking"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            members = unpack(packed, staging)
            folder = self._folder(archive, members)
            moves = [(staging / m.relative, folder / m.relative) for m in members]
            for source, goal in moves:
                if goal.exists() and not filecmp.cmp(source, goal, shallow=False):
                    msg = f"{goal}: exists and differs from the official file; move it away"
                    raise DatasetError(msg)
            for source, goal in moves:
                goal.parent.mkdir(parents=True, exist_ok=True)
                source.replace(goal)
            return [goal.relative_to(self.out) for _, goal in moves]
        except OSError as error:
            msg = f"{self.out}: cannot be written: {error}"
            raise DatasetError(msg) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _folder(self, archive: _Archive, members: Iterable[Unpacked]) -> Path:
        """Return the folder of the set, or of the machine if the archive lacks that folder."""
        folder = self.out / f"{archive.subset}_data"
        tops = {member.relative.parts[0].lower() for member in members}
        return folder if tops == {archive.machine.lower()} else folder / archive.machine

    def _receipt(self, archive: _Archive) -> Path:
        return self.state / f"{archive.file.name}.json"

    def _write_receipt(self, archive: _Archive, members: Iterable[Path]) -> None:
        receipt = {
            "year": self.challenge.year,
            "archive": archive.file.name,
            "size_bytes": archive.file.size_bytes,
            "md5": archive.file.md5,
            "files": {str(path): (self.out / path).stat().st_size for path in members},
        }
        path = self._receipt(archive)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(receipt, indent=0), encoding="utf-8")
        new.replace(path)

    def _verified_file_count(self, archive: _Archive) -> int | None:
        """Return the number of an archive's files if all are present with their sizes, or None."""
        try:
            receipt = json.loads(self._receipt(archive).read_text(encoding="utf-8"))
            if (receipt["size_bytes"], receipt["md5"]) != (
                archive.file.size_bytes,
                archive.file.md5,
            ):
                return None
            files = receipt["files"].items()
            complete = all((self.out / name).stat().st_size == size for name, size in files)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return len(files) if complete else None


def _find_archive(archive_set: ArchiveSet, machine: str, files: dict[str, RemoteFile]) -> _Archive:
    name = archive_set.file_name(machine)
    if name not in files:
        msg = (
            f"record {archive_set.record} ({archive_set.title}): expected {name}, "
            f"found {', '.join(sorted(files)) or 'no files'}"
        )
        raise DatasetError(msg)
    return _Archive(files[name], machine, archive_set.subset)


def _require_same(provided: Path, file: RemoteFile) -> None:
    size = provided.stat().st_size
    if size == file.size_bytes and md5_of(provided) == file.md5:
        return
    msg = (
        f"{provided}: exists, but is not the file of the record ({size} bytes instead of "
        f"{file.size_bytes}, or another checksum); move it away and try again"
    )
    raise DatasetError(msg)
