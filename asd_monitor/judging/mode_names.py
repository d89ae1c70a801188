"""The names that people give to the modes of a machine.

They are kept in the state folder with the profile of the mode, so that a mode keeps its name when
the machine is learned again.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd_monitor.errors import ConfigError, StateError
from asd_monitor.history.records import AuditEntry
from asd_monitor.judging.actions import Outcome
from asd_monitor.judging.proposal import present_model
from asd_monitor.judging.store import Author, JudgingStore
from asd_monitor.model_file import read_manifest
from asd_monitor.modes.learned import MAX_NAME_CHARACTERS, LearnedModes, is_mode_name
from asd_monitor.records import OFF_MODE, UNLEARNED_MODE
from asd_monitor.storage.durable import make_folder_durably, write_durably

NAME_MODE = "name-mode"
SAME_MODE_DB = 3.0
"""A mode has the name of the one whose profile differs by less, as the root mean square."""


@dataclass(frozen=True, slots=True)
class NamedProfile:
    """A name, and the mode that it was given to."""

    name: str
    profile_db: tuple[float, ...]


def names_path(root: Path, machine: str) -> Path:
    """Return the path of the file with the names of a machine's modes."""
    return root / "models" / f"{machine}.modes.json"


def named_modes(root: Path, machine: str, modes: LearnedModes) -> LearnedModes:
    """Return the modes of a machine with the names that people gave them."""
    names: dict[str, str] = {}
    for named in _read(root, machine):
        if len(named.profile_db) != modes.octaves:
            continue
        mode = modes.modes[modes.nearest(np.array(named.profile_db))]
        difference = np.subtract(mode.profile_db, named.profile_db)
        if float(np.sqrt(np.mean(difference**2))) < SAME_MODE_DB:
            names[mode.name] = named.name
    try:
        return modes.renamed(names)
    except ValueError:  # another mode of the new model has such a name
        return modes


def list_modes(root: Path, machine: str) -> LearnedModes:
    """Return the modes of a machine's model in use, with their names.

    Raises
    ------
    ConfigError
        If the model has no modes.
    ModelFileError
        If there is no model, or it cannot be read.
    """
    manifest, _ = read_manifest(present_model(root, machine))
    modes = next(iter(manifest.modes.values()), None)
    if modes is None:
        msg = f"{machine}: its model has no modes; learn it again (`asd-monitor learn`)"
        raise ConfigError(msg)
    return named_modes(root, machine, modes)


def rename(store: JudgingStore, author: Author, machine: str, old: str, new: str) -> Outcome:
    """Give a mode of a machine another name; a running monitor uses it within two seconds.

    Raises
    ------
    ConfigError
        If there is no such mode, or the name cannot be used.
    StateError
        If it cannot be written.
    """
    modes, new = list_modes(store.root, machine), new.strip()
    if old not in modes.names:
        known = ", ".join(f'"{name}"' for name in modes.names)
        raise ConfigError(f'{machine}: expected one of its modes, {known}; found "{old}"')
    if not is_mode_name(new) or new in (OFF_MODE, UNLEARNED_MODE):
        msg = (
            f"expected a name of 1 to {MAX_NAME_CHARACTERS} printable characters other than "
            f'"{OFF_MODE}" and "{UNLEARNED_MODE}"; found {new!r}'
        )
        raise ConfigError(msg)
    if new != old and new in modes.names:
        raise ConfigError(f'{machine}: another mode is called "{new}" already')
    named = [
        {"name": new if mode.name == old else mode.name, "profile_db": mode.profile_db}
        for mode in modes.modes
    ]
    path = names_path(store.root, machine)
    try:
        make_folder_durably(path.parent)
        write_durably(path, json.dumps(named, indent=1).encode())
    except OSError as error:
        raise StateError(f"{path}: the name cannot be written: {error.strerror}") from error
    text = f'"{old}" is now "{new}"'
    store.add_audit(
        AuditEntry(store.clock(), author.who, author.via, NAME_MODE, machine, text=text)
    )
    return Outcome(f'The mode "{old}" of {machine} is now called "{new}".')


def _read(root: Path, machine: str) -> list[NamedProfile]:
    """Return the names of a machine's modes; none where there are none that can be read."""
    try:
        values = json.loads(names_path(root, machine).read_bytes())
        return [
            NamedProfile(entry["name"], tuple(map(float, entry["profile_db"])))
            for entry in values
            if is_mode_name(entry["name"])
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
