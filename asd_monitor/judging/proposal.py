"""A model that was learned again with confirmed recordings, and waits for a person to accept it.

The state folder has the model in use in ``models/``, the proposed one in ``models/proposed/``, and
the one that was replaced last in ``models/previous/``.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asd_monitor.calibration.score_text import format_score
from asd_monitor.errors import ConfigError, StateError
from asd_monitor.file_lock import file_lock
from asd_monitor.history.records import AuditEntry, NoteKind
from asd_monitor.judging.actions import Outcome
from asd_monitor.judging.store import Author, JudgingStore
from asd_monitor.storage.durable import make_folder_durably, move_durably, write_durably

REFIT, UNDO = "refit", "undo-refit"
FINDINGS = ("nothing", "above its limits", "warning", "alarm")
"""What a model finds in the clip of an event, the most severe last."""


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """What is compared of two models."""

    sha256: str
    threshold: float | None
    normal_range: float | None
    calibration_windows: int
    provisional: bool
    seconds: float
    """Length of the sound that it was learned from."""


@dataclass(frozen=True, slots=True)
class ReplayedEvent:
    """What the two models find in the clip of an event."""

    event_id: str
    verdict: str
    headline: str
    before: str
    """One of :data:`FINDINGS`, by the model in use."""
    after: str
    """The same by the proposed model."""

    @property
    def is_weaker(self) -> bool:
        """Whether the proposed model finds less in it than the model in use."""
        return FINDINGS.index(self.after) < FINDINGS.index(self.before)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed model, compared with the model in use."""

    machine: str
    at_s: float
    """When it was learned, in seconds since the epoch."""
    recordings: tuple[str, ...]
    """Events whose clips were learned as normal sound."""
    before: ModelSummary
    after: ModelSummary
    events: tuple[ReplayedEvent, ...] = ()

    @property
    def missed_faults(self) -> tuple[ReplayedEvent, ...]:
        """Events judged as faults that the proposed model finds less clearly."""
        return tuple(event for event in self.events if event.verdict == "fault" and event.is_weaker)

    @property
    def summary(self) -> tuple[str, ...]:
        """The comparison in sentences for the user."""
        faults = [event for event in self.events if event.verdict == NoteKind.FAULT]
        false_alarms = [event for event in self.events if event.verdict == NoteKind.NORMAL]
        quiet = sum(event.is_weaker or event.after == FINDINGS[0] for event in false_alarms)
        lines = [
            f"threshold {format_score(self.before.threshold)} -> "
            f"{format_score(self.after.threshold)}, normal range "
            f"{format_score(self.before.normal_range)} -> {format_score(self.after.normal_range)}",
            f"learned from {self.before.seconds / 60:.1f} -> {self.after.seconds / 60:.1f} min",
            f"{quiet} of {len(false_alarms)} events judged as normal are found less clearly, or no "
            "longer",
        ]
        if not faults:
            lines.append("no event is judged as a fault: whether it would miss one is not known")
        elif self.missed_faults:
            names = ", ".join(event.event_id for event in self.missed_faults)
            lines.append(f"WARNING: these faults would be found less clearly, or missed: {names}")
        else:
            count = "the 1 event" if len(faults) == 1 else f"all {len(faults)} events"
            lines.append(f"{count} judged as a fault would be found as clearly as now")
        return tuple(lines)


def proposed_model(root: Path, machine: str) -> Path:
    """Return the path of a proposed model."""
    return root / "models" / "proposed" / f"{machine}.asd"


def previous_model(root: Path, machine: str) -> Path:
    """Return the path of the model that was replaced last."""
    return root / "models" / "previous" / f"{machine}.asd"


def taken_model(root: Path, machine: str) -> Path:
    """Return the path of an earlier model while it is taken back."""
    return previous_model(root, machine).with_suffix(".taken")


def present_model(root: Path, machine: str) -> Path:
    """Return the path of the learned model in use."""
    return root / "models" / f"{machine}.asd"


def write_proposal(root: Path, proposal: Proposal) -> None:
    """Write the comparison next to the proposed model."""
    path = proposed_model(root, proposal.machine).with_suffix(".json")
    write_durably(path, json.dumps(asdict(proposal), indent=1).encode())


def read_proposal(root: Path, machine: str) -> Proposal | None:
    """Return the proposal for a machine; None if there is none that can be read."""
    model = proposed_model(root, machine)
    try:
        values: dict[str, Any] = json.loads(model.with_suffix(".json").read_bytes())
        values["recordings"] = tuple(values["recordings"])
        values["before"] = ModelSummary(**values["before"])
        values["after"] = ModelSummary(**values["after"])
        values["events"] = tuple(ReplayedEvent(**event) for event in values["events"])
        return Proposal(**values) if model.is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def accept(store: JudgingStore, author: Author, machine: str) -> Outcome:
    """Use the proposed model; a running monitor does so within two seconds.

    Parameters
    ----------
    store, author
        Where it is recorded, and who accepts it.
    machine
        Name of the machine.

    Raises
    ------
    ConfigError
        If there is no proposal, or the model in use is not the one that it was compared with.
    StateError
        If the files cannot be replaced.
    """
    from asd_monitor.model_file import read_manifest

    with lock_models(store.root, machine):
        proposal = read_proposal(store.root, machine)
        if proposal is None:
            msg = f"{machine}: no model is proposed; run `asd-monitor refit {machine}`"
            raise ConfigError(msg)
        _, present_sha256 = read_manifest(present_model(store.root, machine))
        if present_sha256 != proposal.before.sha256:
            msg = (
                f"{machine}: the model was replaced since the proposal was made; run `asd-monitor "
                f"refit {machine}` again"
            )
            raise ConfigError(msg)
        _replace(store.root, machine, proposed_model(store.root, machine))
        proposed_model(store.root, machine).with_suffix(".json").unlink(missing_ok=True)
        _record(store, author, machine, REFIT, "; ".join(proposal.summary))
    return Outcome(
        f"{machine} is monitored with the new model from now on. The old one is kept: "
        f"`asd-monitor refit {machine} --undo` takes it back."
    )


def undo(store: JudgingStore, author: Author, machine: str) -> Outcome:
    """Use the model again that was replaced last, and keep the present one instead."""
    with lock_models(store.root, machine):
        previous, taken = previous_model(store.root, machine), taken_model(store.root, machine)
        try:
            if taken.is_file():  # an undo was interrupted before it had replaced the present model
                move_durably(taken, previous)
            if not previous.is_file():
                raise ConfigError(f"{machine}: there is no earlier model to take back")
            write_durably(taken, previous.read_bytes())
        except OSError as error:
            msg = f"{taken}: cannot be written: {error.strerror}; nothing was changed"
            raise StateError(msg) from error
        _replace(store.root, machine, taken)
        _record(store, author, machine, UNDO, "")
    return Outcome(
        f"{machine} is monitored with its earlier model again. The other one is kept: `asd-monitor "
        f"refit {machine} --undo` changes back."
    )


def discard(store: JudgingStore, author: Author, machine: str) -> Outcome:
    """Delete the proposed model."""
    with lock_models(store.root, machine):
        model = proposed_model(store.root, machine)
        model.with_suffix(".json").unlink(missing_ok=True)
        model.unlink(missing_ok=True)
        _record(store, author, machine, "discard-refit", "")
    return Outcome(f"The proposed model of {machine} was deleted; nothing has changed.")


@contextmanager
def lock_models(root: Path, machine: str) -> Iterator[None]:
    """Keep other processes from replacing or proposing models of a machine."""
    folder = root / "models" / "proposed"
    folder.mkdir(parents=True, exist_ok=True)
    taken = f"{machine}: another process is learning it again or replacing its model; try later"
    with file_lock(folder / f"{machine}.lock", StateError, taken):
        yield


def _replace(root: Path, machine: str, new: Path) -> None:
    """Replace the model in use atomically, after copying it to the previous one."""
    present, previous = present_model(root, machine), previous_model(root, machine)
    try:
        make_folder_durably(previous.parent)
        write_durably(previous, present.read_bytes())
        move_durably(new, present)
    except OSError as error:
        msg = f"{present}: the model cannot be replaced: {error.strerror}; nothing was changed"
        raise StateError(msg) from error


def _record(store: JudgingStore, author: Author, machine: str, action: str, text: str) -> None:
    store.add_audit(AuditEntry(store.clock(), author.who, author.via, action, machine, text=text))
