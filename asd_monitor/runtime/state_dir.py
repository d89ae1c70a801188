"""The state folder: models, recordings, and a lock for each machine."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.config import check_machine_name
from asd_monitor.errors import StateError
from asd_monitor.file_lock import file_lock, lock_holder
from asd_monitor.model_file.archive import remove_unfinished
from asd_monitor.storage.durable import make_folder_durably
from asd_monitor.storage.state_location import locate_state

MODEL_SUFFIX = ".asd"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Layout of the state folder.

    ``models/<machine>.asd`` is the learned model of a machine; ``recordings/<machine>/train/``
    holds its normal recordings, in the layout of DCASE 2020 Task 2, and ``feedback/`` next to it
    those that people confirmed; ``events/<event id>/`` is the evidence of an event;
    ``alarms/<machine>.json`` is its alarm, which a restart continues; ``calibration/`` has the
    sample, the limits and the hours of a calibration that continues while monitoring;
    ``settings.yaml`` has the settings made on the web page; ``signing-key.pem`` signs the models
    that are learned here, and ``checked-models/`` remembers others that passed their trial.
    """

    root: Path

    @classmethod
    def locate(cls, path: Path | None, environ: Mapping[str, str]) -> "StateFolder":
        """Return the state folder: ``path`` if given, else systemd's, else the user's."""
        return cls(locate_state(path, environ))

    def model_path(self, machine: str) -> Path:
        """Return the path of a machine's learned model."""
        return self.root / "models" / f"{check_machine_name(machine)}{MODEL_SUFFIX}"

    def recordings_path(self, machine: str) -> Path:
        """Return the folder of a machine's normal recordings."""
        return self.root / "recordings" / check_machine_name(machine) / "train"

    @property
    def events_path(self) -> Path:
        """The folder of the events' evidence."""
        return self.root / "events"

    def alarm_path(self, machine: str) -> Path:
        """Return the path of the file with a machine's standing alarm."""
        return self.root / "alarms" / f"{check_machine_name(machine)}.json"

    def make(self, path: Path) -> Path:
        """Create a folder below the root and return it; raise StateError on failure."""
        try:
            make_folder_durably(path)
        except OSError as error:
            msg = f"{path}: the state folder cannot be created: {error.strerror}; use --state-dir"
            raise StateError(msg) from error
        return path

    @contextmanager
    def lock(self, machine: str) -> Iterator[None]:
        """Lock a machine, and remove what an interrupted write has left of its model.

        Raises
        ------
        StateError
            If another process holds the lock, or it cannot be taken.
        """
        path = self.make(self.root / "locks") / f"{check_machine_name(machine)}.lock"
        taken = (
            f"machine {machine!r} is already monitored by process {{holder}} with the state "
            f"folder {self.root}; stop that process, or use another --state-dir"
        )
        with file_lock(path, StateError, taken, hint="use --state-dir"):
            remove_unfinished(self.model_path(machine))
            remove_unfinished(self.alarm_path(machine))
            yield

    def lock_holder(self, machine: str) -> str:
        """Return the id of the process that monitors or learns a machine; empty if none is known.

        Nothing is created or changed.
        """
        return lock_holder(self.root / "locks" / f"{check_machine_name(machine)}.lock")
