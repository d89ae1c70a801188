"""The settings made on the web page: a file in the state folder, below the configuration file."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from asd_monitor import settings_file
from asd_monitor.config import Config, from_part
from asd_monitor.errors import ConfigError, StateError
from asd_monitor.file_lock import file_lock
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.settings_file import Document, KeyPath, format_yaml
from asd_monitor.storage.durable import write_durably

FILE_NAME = "settings.yaml"
HEADER = (
    "# Settings made on the web page of asd-monitor, in the form of its configuration file.\n"
    "# A section or a machine that the configuration file has is used instead of the one here.\n"
)
BY_ENTRY = ("machines",)
NOT_HERE = frozenset({"state_dir", "web", "node", "device", "version"})
"""Keys that pages do not set: they say where the page and this file are."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value of a setting comes from."""

    kind: str
    """``file``, ``options``, ``page`` or ``default``."""
    place: str = ""
    """File and line, if the value is in a file."""


class PageSettings:
    """Read, merge and change the settings made on pages.

    Parameters
    ----------
    base
        The configuration file, or the options of the command line. What it sets, pages cannot
        change.
    state
        The state folder.
    with_machines
        Whether machines of the page are monitored; False where the command line names the machines
        of this run.
    """

    def __init__(self, base: Document, state: StateFolder, *, with_machines: bool = True) -> None:
        self.with_machines = with_machines
        self.path = state.root / FILE_NAME
        self._base = base
        self._state = state
        self._lock = threading.Lock()

    def load(self, base: Document | None = None) -> Config:
        """Return the settings of the configuration and of the page.

        Parameters
        ----------
        base
            Use this configuration, which :meth:`use` makes the one of later changes.

        Raises
        ------
        ConfigError
            With file, line and key of every error.
        """
        return from_part(self._merge(self._read(), base))

    def use(self, base: Document) -> None:
        """Take a configuration that was reloaded."""
        self._base = base

    def change(self, change: Callable[[dict[str, Any]], None]) -> Config:
        """Change what the page has set, and return all settings; nothing is written if invalid.

        Parameters
        ----------
        change
            Changes the content of the file.

        Raises
        ------
        ConfigError
            If the settings would not be valid, or the file is not.
        StateError
            If the file cannot be written.
        """
        folder = self._state.make(self._state.root / "locks")
        with (
            self._lock,
            file_lock(folder / "settings.lock", StateError, "", wait=True, hint="see --state-dir"),
        ):
            values = self._read().values
            change(values)
            values = {key: value for key, value in values.items() if value != {}}
            config = from_part(self._merge(Document("this page", values, {})))
            self._write(values)
        return config

    def page_values(self) -> dict[str, Any]:
        """Return what the page has set."""
        return self._read().values

    def origin(self, path: KeyPath) -> Origin:
        """Return where the value of a setting comes from."""
        return self.origins([path])[path]

    def origins(self, paths: Iterable[KeyPath]) -> dict[KeyPath, Origin]:
        """Return where the value of each setting comes from."""
        merged = self._merge(self._read())
        return {path: self._find_origin(merged, path) for path in paths}

    def _find_origin(self, merged: Document, path: KeyPath) -> Origin:
        if not _contains(merged.values, path):
            return Origin("default")
        document = merged.origin(path)
        if document is not merged:
            return Origin("page", document.location(path).partition(": ")[0])
        if not document.lines:
            return Origin("options")
        return Origin("file", document.location(path).partition(": ")[0])

    def is_fixed(self, path: KeyPath) -> bool:
        """Return whether the configuration sets a section or a machine, so that pages cannot."""
        return _contains(self._base.values, path)

    def _read(self) -> Document:
        if not self.path.exists():
            return Document(str(self.path), {}, {})
        document = settings_file.read(self.path)
        for key in NOT_HERE & set(document.values):
            place = document.location((key,))
            raise ConfigError(f"{place}: set this key in the configuration file, not here")
        return document

    def _merge(self, page: Document, base: Document | None = None) -> Document:
        values = dict(page.values)
        if not self.with_machines:
            values.pop("machines", None)
        page = Document(page.name, values, page.lines)
        return settings_file.merge(base or self._base, page, BY_ENTRY)

    def _write(self, values: dict[str, Any]) -> None:
        text = HEADER + format_yaml(values)
        try:
            write_durably(self.path, text.encode(), mode=0o600)
        except OSError as error:
            msg = f"{self.path}: the settings cannot be saved: {error.strerror}"
            raise StateError(msg) from error


def _contains(values: object, path: KeyPath) -> bool:
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True
