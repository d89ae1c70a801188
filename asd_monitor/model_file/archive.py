"""A zip archive that carries the SHA-256 of each of its members, so that damage shows.

TorchScript loads a file with flipped bits without a word. So the last member of a model file,
``integrity.json``, lists size and SHA-256 of every other one.
"""

import hashlib
import io
import json
import os
import stat
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import cast

from asd_monitor.errors import ModelFileError

INTEGRITY_MEMBER = "integrity.json"
LARGEST_MODEL_BYTES = 2**30

_DAMAGED = "it is damaged or was changed after it was made; copy it again or make it anew"


def seal(archive: bytes) -> bytes:
    """Return the zip archive with an ``integrity.json`` added at its end."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as opened:
        members = {}
        for name in opened.namelist():
            content = opened.read(name)
            members[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        opened.writestr(INTEGRITY_MEMBER, json.dumps({"members": members}, indent=1))
    return buffer.getvalue()


def read_bytes(path: Path, largest: int = LARGEST_MODEL_BYTES) -> bytes:
    """Return a regular file's content, read once, so that what is checked is what is loaded.

    Raises
    ------
    ModelFileError
        If it is missing, not a regular file, unreadable, or larger than ``largest`` bytes.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ModelFileError(f"{path}: expected a model file, found something else there")
        if found.st_size > largest:
            msg = (
                f"{path}: expected a model file of at most {largest} bytes, "
                f"found {found.st_size} bytes"
            )
            raise ModelFileError(msg)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: expected a model file, found nothing there") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise ModelFileError(f"{str(path)!r}: not a path: {error}") from error


def unseal(content: bytes, where: Path, largest: int = LARGEST_MODEL_BYTES) -> dict[str, bytes]:
    """Return the archive's members after checking each against ``integrity.json``.

    Raises
    ------
    ModelFileError
        If it is no zip archive, has no ``integrity.json``, has a member too few, too many or
        twice, or one whose content is not what it was.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            names = opened.namelist()
            if sum(info.file_size for info in opened.infolist()) > largest:
                raise ModelFileError(f"{where}: unpacks to more than {largest} bytes")
            if len(set(names)) != len(names):
                raise ModelFileError(f"{where}: has a member twice; {_DAMAGED}")
            members = {name: opened.read(name) for name in names}
    except zipfile.BadZipFile as error:
        start = "cut short or damaged" if content[:2] == b"PK" else "not a model file"
        raise ModelFileError(f"{where}: {start}: {error}") from error
    except (
        NotImplementedError,  # a flipped bit asks for a compression that zipfile does not know
        RuntimeError,  # ... or says that a member is encrypted
        EOFError,
        OSError,
        ValueError,
        UnicodeError,
        zlib.error,
    ) as error:
        raise ModelFileError(f"{where}: {error}; {_DAMAGED}") from error
    return _checked(members, where)


def _checked(members: dict[str, bytes], where: Path) -> dict[str, bytes]:
    content = members.pop(INTEGRITY_MEMBER, None)
    if content is None:
        msg = (
            f"{where}: has no {INTEGRITY_MEMBER}: a TorchScript file perhaps, but not one that "
            "asd-monitor made"
        )
        raise ModelFileError(msg)
    listed = _listed(content, where)
    if set(listed) != set(members):
        odd = sorted(set(listed) ^ set(members))
        raise ModelFileError(f"{where}: members missing or added: {odd[:3]}; {_DAMAGED}")
    for name, data in members.items():
        found = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if listed[name] != found:
            raise ModelFileError(f"{where}: {name} is not what it was; {_DAMAGED}")
    return members


def _listed(content: bytes, where: Path) -> dict[str, object]:
    try:
        listed = json.loads(content)["members"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{where}: {INTEGRITY_MEMBER} cannot be read; {_DAMAGED}") from error
    if not isinstance(listed, dict):
        raise ModelFileError(f"{where}: {INTEGRITY_MEMBER} lists no members; {_DAMAGED}")
    return cast("dict[str, object]", listed)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at every moment either the old or the whole new one is there.

    Raises
    ------
    ModelFileError
        If the folder is missing, full, or not writable.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        unfinished.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):  # a read-only file system refuses even that
            unfinished.unlink(missing_ok=True)
        raise ModelFileError(f"{path}: cannot be written: {error.strerror}") from error


def remove_unfinished(path: Path) -> None:
    """Remove what a power cut has left of writing this file; only for who alone writes it."""
    before, after = f".{path.name}.", ".unfinished"
    with suppress(OSError):
        for each in path.parent.glob(f"{before}*{after}"):
            if each.name.removeprefix(before).removesuffix(after).isdecimal():
                each.unlink(missing_ok=True)
