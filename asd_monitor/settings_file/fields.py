"""Types of fields in settings: names, paths, and sections that can be turned off."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from asd_monitor.unicode_names import to_nfc


def _refuse_empty(value: object) -> object:
    if isinstance(value, str) and not value.strip():  # which pathlib takes for the current folder
        raise ValueError("expected a path (or leave the key out)")
    return value


def _expand_user(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # there is no such user
        raise ValueError(f"{path}: {error}") from error


Name = Annotated[str, AfterValidator(to_nfc)]
"""A name in settings, in the form in which names are compared."""
SettingsPath = Annotated[Path, BeforeValidator(_refuse_empty), AfterValidator(_expand_user)]
"""A path in settings; ``~`` is the user's home folder, as in a shell."""

OFF_WORDS = frozenset({"off", "no", "none", "null", "false"})
"""Words that turn something off, in any case; YAML reads some of them as False or null."""
ON_WORDS = frozenset({"on", "yes", "true"})


def is_off(word: str) -> bool:
    """Return whether a word turns something off, in the settings and on the command line."""
    return word.strip().casefold() in OFF_WORDS


def expand_switch(value: object) -> object:
    """Return None for a word that means off, an empty section for one that means on."""
    if value is False or (isinstance(value, str) and is_off(value)):
        return None
    is_on = isinstance(value, str) and value.strip().casefold() in ON_WORDS
    return {} if value is True or is_on else value


OnOff = BeforeValidator(expand_switch)
"""Accepts ``off``, ``no`` or ``none`` for a section that may be null, ``on`` for an empty one."""
