"""One Unicode form for names: macOS writes an umlaut as two code points, most keyboards as one."""

import unicodedata
from pathlib import Path


def to_nfc(name: str) -> str:
    """Return a name in NFC, the form in which all names are compared and stored."""
    return unicodedata.normalize("NFC", name)


def find_path(path: Path) -> Path:
    """Return the existing path that differs only in the Unicode form of its names, else ``path``.

    File systems other than macOS's keep names as they were written, and do not find the other form.
    """
    if path.exists() or path.parent == path or str(path).isascii():
        return path
    parent = find_path(path.parent)
    wanted = to_nfc(path.name)
    if not path.name.isascii() and parent.is_dir():
        for entry in parent.iterdir():
            if to_nfc(entry.name) == wanted:
                return entry
    return parent / path.name
