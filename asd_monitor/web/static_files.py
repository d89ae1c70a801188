"""The scripts, styles and icons of the page, held in memory."""

import hashlib
import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
VENDOR_FILES = ("vendor/htmx.min.js", "vendor/uPlot.iife.min.js", "vendor/uPlot.min.css")
"""Libraries that are fetched when the package is built or installed (hatch_build.py)."""
SUFFIXES = frozenset({".js", ".css", ".svg", ".png", ".txt", ".webmanifest"})


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file with its content type."""

    content: bytes
    content_type: str


class StaticFiles:
    """All static files by name; a client can name no others.

    Parameters
    ----------
    folder
        The folder that is read, once.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = dict(_read(folder))
        digest = hashlib.sha256()
        for name, file in sorted(self._files.items()):
            digest.update(name.encode() + b"\0" + file.content)
        self.version = digest.hexdigest()[:12]
        """Changes with any file; part of the URLs, so that browsers may keep files forever."""

    def find(self, name: str) -> StaticFile | None:
        """Return a file, or None if there is none of this name."""
        return self._files.get(name)

    def missing_libraries(self) -> list[str]:
        """Return the libraries that were not fetched when the package was installed."""
        return [name for name in VENDOR_FILES if name not in self._files]


def _read(folder: Path) -> Iterator[tuple[str, StaticFile]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in SUFFIXES and path.is_file():
            content_type, _ = mimetypes.guess_type(path.name)
            if path.suffix == ".js":
                content_type = "text/javascript; charset=utf-8"
            name = path.relative_to(folder).as_posix()
            yield name, StaticFile(path.read_bytes(), content_type or "text/plain; charset=utf-8")
