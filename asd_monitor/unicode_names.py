"""One Unicode form for names: macOS writes an umlaut as two code points, most keyboards as one."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

MAX_ID_LENGTH = 64
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{MAX_ID_LENGTH - 1}}}")


def to_nfc(name: str) -> str:
    """Return a name in NFC, the form in which all names are compared and stored."""
    return unicodedata.normalize("NFC", name)


def is_id(name: str) -> bool:
    """Return whether a name can be a folder, a level of an MQTT topic and a label."""
    return _ID.fullmatch(name) is not None


def derive_id(name: str) -> str:
    """Return the id of a machine whose name was typed: ``pump-1-2`` for ``Pump 1/2``.

    A name that is an id already is returned as it is. The same name always gives the same id; one
    without a letter from a to z or a digit gives ``machine-`` and a hash of it.
    """
    if is_id(name):
        return name
    letters = unicodedata.normalize("NFKD", name).casefold().encode("ascii", "ignore").decode()
    derived = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")[:MAX_ID_LENGTH].strip("-")
    if derived:
        return derived
    return f"machine-{hashlib.sha256(to_nfc(name).encode('utf-8', 'replace')).hexdigest()[:8]}"


def find_id(name: str, displayed: Mapping[str, str]) -> str | None:
    """Return the id of the machine that a user named; None if there is none or several.

    Parameters
    ----------
    name
        An id, a display name in either Unicode form, or a name from which the id was derived.
    displayed
        The display name of each machine by its id; the id itself where it has no other name.
    """
    name = to_nfc(name).strip()
    if name in displayed:
        return name
    named = [id_ for id_, text in displayed.items() if to_nfc(text) == name]
    if named:
        return named[0] if len(named) == 1 else None
    return derived if (derived := derive_id(name)) in displayed else None


def list_names(displayed: Mapping[str, str]) -> str:
    """Return the ids of machines for a message, each with its display name if that differs."""
    names = [
        id_ if text in ("", id_) else f"{id_} ({text})" for id_, text in sorted(displayed.items())
    ]
    return ", ".join(names) or "none yet"


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
