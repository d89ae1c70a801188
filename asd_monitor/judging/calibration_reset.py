"""Go back to the limits of a machine's model file, because a person says so."""

from asd_monitor.errors import ConfigError, StateError
from asd_monitor.history.records import AuditEntry
from asd_monitor.judging.actions import Outcome
from asd_monitor.judging.store import Author, JudgingStore
from asd_monitor.recalibration.files import CalibrationFiles

RESET_CALIBRATION = "reset-calibration"


def can_reset(store: JudgingStore, machine: str) -> bool:
    """Return whether normal sound of monitoring was collected for a machine."""
    return CalibrationFiles(store.root, machine).exists


def reset_calibration(store: JudgingStore, author: Author, machine: str) -> Outcome:
    """Delete the limits that monitoring has extended, and what they were computed from.

    A running monitor follows the entry in the history within two seconds; without a history nothing
    is recorded, and the limits change at its next start.

    Raises
    ------
    ConfigError
        If nothing was collected.
    StateError
        If the files cannot be deleted.
    """
    try:
        if not CalibrationFiles(store.root, machine).reset():
            raise ConfigError(f"{machine}: its limits are those of its model file already")
    except OSError as error:
        msg = f"{error.filename}: cannot be deleted: {error.strerror}; the limits may still apply"
        raise StateError(msg) from error
    if store.path.exists():
        entry = AuditEntry(store.clock(), author.who, author.via, RESET_CALIBRATION, machine)
        store.add_audit(entry)
    return Outcome(
        f"{machine}: the limits of its model file are used, and normal sound is collected again. "
        "`learn.while_monitoring: false` ends that."
    )
