"""List the files below a folder, without opening any."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from asd_monitor.audio.files import AUDIO_SUFFIXES, FORMATS
from asd_monitor.errors import DatasetError
from asd_monitor.unicode_names import to_nfc
from asd_offline.datasets.clip import Rejected

_IGNORED_SUFFIXES = frozenset(
    {".csv", ".txt", ".md", ".json", ".zip", ".part", ".pdf", ".html", ".yaml", ".yml", ".py"}
)
_JUNK_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_MAX_DEPTH = 10
_NOT_UTF_8 = "its name is not valid UTF-8"


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder that holds sound files."""

    path: Path
    relative: tuple[str, ...]
    """Folder names from the root down to this folder, in NFC."""
    absolute: tuple[str, ...]
    """All folder names from the top of the file system, in NFC."""
    names: tuple[str, ...]
    """Names of the sound files in it, sorted."""


@dataclass(slots=True)
class Tree:
    """Files found below one root."""

    root: Path
    folders: list[Folder] = field(default_factory=list)
    attribute_lists: list[Path] = field(default_factory=list)
    archives: list[Path] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def scan(root: Path) -> Tree:
    """List sound files and attribute lists below a root, in sorted order.

    Hidden names (``._*``, ``.DS_Store``), ``Thumbs.db``, ``__MACOSX``, documents and archives are
    ignored. Links are followed; no folder is entered twice.

    Raises
    ------
    DatasetError
        If the root is missing, is not a folder, or cannot be read.
    """
    _require_folder(root)
    tree = Tree(root)
    base = tuple(map(to_nfc, Path(os.path.abspath(root)).parts))
    _walk(tree, root, (), base, set())
    return tree


def _require_folder(root: Path) -> None:
    if not root.exists():
        msg = (
            f"{root}: expected the folder of a dataset, found nothing there; "
            "give the folder that holds the machines, or download one with `asd-monitor download`"
        )
        raise DatasetError(msg)
    if root.suffix.lower() == ".zip":
        msg = f"{root}: expected a folder, found an archive; unpack it and give the folder"
        raise DatasetError(msg)
    if not root.is_dir():
        msg = f"{root}: expected the folder of a dataset or a .csv list of clips, found a file"
        raise DatasetError(msg)


def _walk(
    tree: Tree,
    folder: Path,
    relative: tuple[str, ...],
    base: tuple[str, ...],
    visited: set[tuple[int, int]],
) -> None:
    try:
        state = folder.stat()
        if (state.st_dev, state.st_ino) in visited:
            return
        visited.add((state.st_dev, state.st_ino))
        with os.scandir(folder) as entries:
            listing = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if not relative:
            msg = f"{folder}: cannot be read ({error.strerror}); check the permissions"
            raise DatasetError(msg) from error
        tree.rejected.append(Rejected(folder, f"folder cannot be read: {error.strerror}"))
        return
    names = []
    for entry in listing:
        if entry.name.startswith(".") or entry.name.lower() in _JUNK_NAMES:
            continue
        if entry.is_dir():
            inner = folder / entry.name
            if _printable(inner) != inner:
                tree.rejected.append(Rejected(_printable(inner), _NOT_UTF_8))
            elif len(relative) < _MAX_DEPTH:
                _walk(tree, inner, (*relative, to_nfc(entry.name)), base, visited)
        elif _sort_file(tree, folder, entry):
            names.append(entry.name)
    if names:
        tree.folders.append(Folder(folder, relative, (*base, *relative), tuple(names)))


def _sort_file(tree: Tree, folder: Path, entry: "os.DirEntry[str]") -> bool:
    """Return whether a file is a sound file; others are added to the tree by their kind."""
    path, suffix = folder / entry.name, os.path.splitext(entry.name)[1].lower()
    if suffix not in AUDIO_SUFFIXES:
        if suffix == ".zip":
            tree.archives.append(path)
        elif suffix == ".csv" and entry.name.lower().startswith("attributes_"):
            tree.attribute_lists.append(path)
        elif suffix not in _IGNORED_SUFFIXES:
            tree.rejected.append(
                Rejected(_printable(path), f"not a format that is read ({FORMATS})")
            )
        return False
    if not entry.is_file():
        reason = "a broken link" if entry.is_symlink() else "not a regular file"
        tree.rejected.append(Rejected(path, reason))
        return False
    if _printable(path) != path:
        tree.rejected.append(Rejected(_printable(path), _NOT_UTF_8))
        return False
    return True


def _printable(path: Path) -> Path:
    """Return the path with bytes that are not UTF-8 escaped."""
    return Path(os.fsencode(path).decode("utf-8", "backslashreplace"))
