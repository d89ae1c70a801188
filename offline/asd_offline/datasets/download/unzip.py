"""Unpack an untrusted zip archive."""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from asd_monitor.errors import DatasetError

MAX_MEMBERS = 200_000
MAX_GROWTH = 100
"""Unpacked over packed size; 16-bit machine sound has less than 3, silence about 1000."""
ALLOWED_GROWTH_BYTES = 1 << 24
"""Growth that is allowed in any case, so that small archives are not refused."""
_JUNK = ("__MACOSX", ".DS_Store", "Thumbs.db")
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An unpacked file; its path is relative to the folder of the archive's contents."""

    relative: PurePosixPath
    size_bytes: int


def unpack(archive: Path, folder: Path) -> list[Unpacked]:
    """Unpack into an empty folder, or refuse the whole archive.

    Absolute names, names that leave the folder, links and devices, duplicate names (ignoring
    case), encryption, and more data than sound can be compressed to are refused.

    Raises
    ------
    DatasetError
        If the archive is damaged, refused, or the disk has no room for it.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            members = _checked(source.infolist(), archive)
            _require_room(sum(member.file_size for member in members), folder)
            return [_extract(source, member, folder) for member in members]
    except _ZIP_ERRORS as error:
        msg = f"{archive}: expected an intact zip archive, it is damaged: {error}"
        raise DatasetError(msg) from error
    except OSError as error:
        msg = f"{archive}: cannot be unpacked to {folder}: {error}"
        raise DatasetError(msg) from error


def _checked(infos: Iterable[zipfile.ZipInfo], archive: Path) -> list[zipfile.ZipInfo]:
    """Return the members to unpack, without folders and files of operating systems."""
    members: list[zipfile.ZipInfo] = []
    seen: set[str] = set()
    for info in infos:
        if reason := _why_refused(info):
            msg = f"{archive}: refused, {reason}: {info.filename!r}"
            raise DatasetError(msg)
        if info.is_dir() or any(part in _JUNK for part in info.filename.split("/")):
            continue
        if info.filename.lower() in seen:
            msg = f"{archive}: refused, a name occurs twice: {info.filename!r}"
            raise DatasetError(msg)
        seen.add(info.filename.lower())
        members.append(info)
    total = sum(member.file_size for member in members)
    limit = MAX_GROWTH * archive.stat().st_size + ALLOWED_GROWTH_BYTES
    if len(members) > MAX_MEMBERS or total > limit:
        msg = f"{archive}: refused, {len(members)} files of {total} bytes are more than sound needs"
        raise DatasetError(msg)
    if not members:
        msg = f"{archive}: expected recordings, the archive is empty"
        raise DatasetError(msg)
    return members


def _why_refused(info: zipfile.ZipInfo) -> str:
    # orig_filename: zipfile cuts a name at a NUL and replaces other separators by "/".
    name = info.orig_filename
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "an absolute path"
    if any(ord(character) < 32 for character in name) or "\\" in name:
        return "a name with characters that no file of a dataset has"
    if any(part in ("", ".", "..") for part in name.removesuffix("/").split("/")):
        return "a name that leaves its folder"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device"
    if info.flag_bits & 1:
        return "an encrypted file"
    return ""


def _require_room(needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        msg = f"{folder}: needs {needed / 1e9:.1f} GB to unpack, {free / 1e9:.1f} GB are free"
        raise DatasetError(msg)


def _extract(source: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> Unpacked:
    relative = PurePosixPath(member.filename)
    target = folder / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open(member) as packed, target.open("xb") as out:
        shutil.copyfileobj(packed, out, 1 << 20)
        if out.tell() != member.file_size:
            msg = f"{member.filename!r} has {out.tell()} bytes instead of {member.file_size}"
            raise zipfile.BadZipFile(msg)
    return Unpacked(relative, member.file_size)
