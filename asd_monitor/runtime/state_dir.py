"""Where the monitor keeps what it must not forget: models, recordings, locks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.config import check_machine_name
from asd_monitor.errors import StateError
from asd_monitor.file_lock import file_lock
from asd_monitor.model_file.archive import remove_unfinished

MODEL_SUFFIX = ".asd"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The state folder's layout.

    ``models/<machine>.asd`` are model files; ``recordings/<machine>/train/`` holds the normal
    recordings of commissioning in the layout of DCASE 2020 Task 2.
    """

    root: Path

    @classmethod
    def locate(cls, given: Path | None, environ: Mapping[str, str]) -> "StateFolder":
        """Return the folder given, else systemd's, else the user's own."""
        if given is not None:
            return cls(given.expanduser().absolute())
        if systemd := environ.get("STATE_DIRECTORY"):
            return cls(Path(systemd.split(":")[0]))
        base = environ.get("XDG_STATE_HOME") or "~/.local/state"
        return cls(Path(base).expanduser().absolute() / "asd-monitor")

    def model_path(self, machine: str) -> Path:
        """Return where the model of a machine is kept."""
        return self.root / "models" / f"{check_machine_name(machine)}{MODEL_SUFFIX}"

    def recordings_path(self, machine: str) -> Path:
        """Return the folder of a machine's normal recordings."""
        return self.root / "recordings" / check_machine_name(machine) / "train"

    def make(self, path: Path) -> Path:
        """Create a folder below the root; raise StateError if it cannot be."""
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{path}: the state folder cannot be made: {error.strerror}; use --state-dir"
            raise StateError(msg) from error
        return path

    @contextmanager
    def lock(self, machine: str) -> Iterator[None]:
        """Hold a machine's part of the folder, and clear it of what a power cut has left.

        Raises
        ------
        StateError
            If another process holds it, or it cannot be locked.
        """
        path = self.make(self.root / "locks") / f"{check_machine_name(machine)}.lock"
        taken = (
            f"machine {machine!r} is already monitored by process {{holder}} with the state "
            f"folder {self.root}; stop that one, or use another --state-dir"
        )
        with file_lock(path, StateError, taken, hint="use --state-dir"):
            remove_unfinished(self.model_path(machine))
            yield
