"""Zip archives with the SHA-256 of each member, which detect damage, and atomic writing.

TorchScript loads a file with flipped bits without an error. Therefore the last member of a model
file, ``integrity.json``, lists size and SHA-256 of all others.
"""

import hashlib
import io
import json
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import cast

from asd_monitor.errors import ModelFileError
from asd_monitor.storage.durable import write_durably

INTEGRITY_MEMBER = "integrity.json"
MAX_MODEL_BYTES = 2**30
MAX_RATIO = 10
"""Model files are stored, not compressed: none unpacks to more than its size."""

_PIECE_BYTES = 1 << 20
_NOT_SEALED = (
    "{where}: has no integrity.json: perhaps a TorchScript file, but not a model file of "
    "asd-monitor"
)

_DAMAGED = "it is damaged or was changed; copy it or export it again"


def seal(archive: bytes, added: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """Return a zip archive with members added to its folder, and ``integrity.json`` at its end."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as file:
        root = file.namelist()[0].partition("/")[0]
        for name, content in added.items():
            file.writestr(f"{root}/{name}", content)
        members = {}
        for name in file.namelist():
            content = file.read(name)
            members[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        file.writestr(INTEGRITY_MEMBER, json.dumps({"members": members}, indent=1))
    return buffer.getvalue()


def replace_member(sealed: bytes, ending: str, content: bytes) -> bytes:
    """Return a sealed archive in which the member whose name ends so has other content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(sealed)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            if name != INTEGRITY_MEMBER:
                target.writestr(name, content if name.endswith(ending) else source.read(name))
    return seal(buffer.getvalue())


def read_bytes(path: Path, max_bytes: int = MAX_MODEL_BYTES) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    ModelFileError
        If it is missing, not a regular file, unreadable, or larger than ``max_bytes`` bytes.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError(f"{path}: expected a model file, found something else there")
        if status.st_size > max_bytes:
            msg = (
                f"{path}: expected a model file of at most {max_bytes} bytes, "
                f"found {status.st_size} bytes"
            )
            raise ModelFileError(msg)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: expected a model file, found nothing there") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise ModelFileError(f"{str(path)!r}: not a path: {error}") from error


def unseal(
    content: bytes,
    where: Path,
    max_bytes: int = MAX_MODEL_BYTES,
    is_wanted: Callable[[str], bool] = lambda _: True,
) -> dict[str, bytes]:
    """Check the archive's members against ``integrity.json``, and return those that are wanted.

    The others are hashed piece by piece, so that they take no memory.

    Raises
    ------
    ModelFileError
        If it is not a zip archive, unpacks to more than ``max_bytes`` bytes or to much more than
        its size, has no ``integrity.json``, or has a member that is missing, unlisted, duplicated
        or changed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            names = file.namelist()
            _check_sizes(file.infolist(), len(content), where, max_bytes)
            if len(set(names)) != len(names):
                raise ModelFileError(f"{where}: has a duplicate member; {_DAMAGED}")
            if INTEGRITY_MEMBER not in names:
                raise ModelFileError(_NOT_SEALED.format(where=where))
            listed = _read_integrity(file.read(INTEGRITY_MEMBER), where)
            found = {name: _hash(file, name) for name in names if name != INTEGRITY_MEMBER}
            members = {name: file.read(name) for name in found if is_wanted(name)}
    except zipfile.BadZipFile as error:
        start = "cut short or damaged" if content[:2] == b"PK" else "not a model file"
        raise ModelFileError(f"{where}: {start}: {error}") from error
    except (
        NotImplementedError,  # a flipped bit selects a compression that zipfile does not support
        RuntimeError,  # ... or marks a member as encrypted
        EOFError,
        OSError,
        ValueError,
        UnicodeError,
        zlib.error,
    ) as error:
        raise ModelFileError(f"{where}: {error}; {_DAMAGED}") from error
    _check_members(listed, found, where)
    return members


def _check_sizes(
    infos: Iterable[zipfile.ZipInfo], archive_bytes: int, where: Path, max_bytes: int
) -> None:
    """Refuse an archive that would unpack to too much; model files are stored uncompressed."""
    unpacked_bytes = sum(info.file_size for info in infos)
    if unpacked_bytes > max_bytes:
        raise ModelFileError(f"{where}: unpacks to more than {max_bytes} bytes")
    if unpacked_bytes > MAX_RATIO * archive_bytes:
        msg = f"{where}: unpacks to {unpacked_bytes // archive_bytes} times its size: no model does"
        raise ModelFileError(msg)


def _hash(file: zipfile.ZipFile, name: str) -> dict[str, object]:
    digest, size = hashlib.sha256(), 0
    with file.open(name) as member:
        while piece := member.read(_PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}


def _check_members(
    listed: Mapping[str, object], found: Mapping[str, dict[str, object]], where: Path
) -> None:
    if set(listed) != set(found):
        differing = sorted(set(listed) ^ set(found))
        raise ModelFileError(f"{where}: members missing or added: {differing[:3]}; {_DAMAGED}")
    for name, values in found.items():
        if listed[name] != values:
            raise ModelFileError(f"{where}: {name} has changed; {_DAMAGED}")


def _read_integrity(content: bytes, where: Path) -> dict[str, object]:
    try:
        listed = json.loads(content)["members"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{where}: {INTEGRITY_MEMBER} cannot be read; {_DAMAGED}") from error
    if not isinstance(listed, dict):
        raise ModelFileError(f"{where}: {INTEGRITY_MEMBER} lists no members; {_DAMAGED}")
    return cast("dict[str, object]", listed)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that after a crash at any moment it is either the old or the new one.

    Raises
    ------
    ModelFileError
        If the folder is missing, full, or not writable.
    """
    try:
        write_durably(path, content)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written: {error.strerror}") from error


def remove_unfinished(path: Path) -> None:
    """Remove what an interrupted :func:`write_atomically` has left; only for the sole writer."""
    prefix, suffix = f".{path.name}.", ".unfinished"
    with suppress(OSError):
        for unfinished in path.parent.glob(f"{prefix}*{suffix}"):
            if unfinished.name.removeprefix(prefix).removesuffix(suffix).isdecimal():
                unfinished.unlink(missing_ok=True)
