"""The recordings of events that people judged to be normal sound.

They are copies of the clips, in ``recordings/<machine>/feedback/``. Nothing is learned from them
until a person asks for it.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.errors import StateError
from asd_monitor.history.records import Event, NoteKind
from asd_monitor.judging.store import JudgingStore
from asd_monitor.records import UNLEARNED_RULE
from asd_monitor.storage.durable import make_folder_durably, write_durably

logger = logging.getLogger(__name__)

ENOUGH_RECORDINGS = 3
"""Confirmed recordings from which it is offered to learn."""
CLIP = "clip.flac"
SUFFIX = ".flac"
MAX_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Feedback:
    """Recordings of a machine that people have confirmed to be normal."""

    machine: str
    recordings: tuple[str, ...] = ()
    """Ids of their events."""
    has_new_mode: bool = False
    """Whether one is of a state that was not learned, which is then learned as a mode."""

    @property
    def is_enough(self) -> bool:
        """Whether it is worth learning the machine again."""
        return self.has_new_mode or len(self.recordings) >= ENOUGH_RECORDINGS

    @property
    def next_step(self) -> str:
        """What can be done with them, in one sentence for the user."""
        count, missing = len(self.recordings), ENOUGH_RECORDINGS - len(self.recordings)
        if self.is_enough:
            noun, verb, them = "recordings", "are", "them"
            if count == 1:
                noun, verb, them = "recording", "is", "it"
            return (
                f"{count} {noun} {verb} confirmed as normal: the monitor can learn from {them} "
                f"(`asd-monitor refit {self.machine}`), and changes nothing before you agree."
            )
        more = "1 more event" if missing == 1 else f"{missing} more events"
        return (
            f"The monitor does not change by itself: with the recordings of {more} confirmed as "
            "normal, it offers to learn from them."
        )

    @property
    def missing(self) -> str:
        """What is needed before the machine can be learned again, in one sentence."""
        count = len(self.recordings)
        found = "none is" if not count else "1 is" if count == 1 else f"{count} are"
        return (
            f"{self.machine}: expected the recordings of at least {ENOUGH_RECORDINGS} events that "
            f"were confirmed as normal sound, found that {found}; list the events with "
            f"`asd-monitor events --machine {self.machine}`, and confirm those that were false "
            "alarms with `asd-monitor feedback EVENT normal`"
        )


def feedback_folder(root: Path, machine: str) -> Path:
    """Return the folder of a machine's confirmed recordings."""
    return root / "recordings" / machine / "feedback"


def find_feedback(store: JudgingStore, machine: str) -> Feedback:
    """Return the confirmed recordings of a machine."""
    folder = feedback_folder(store.root, machine)
    names = sorted(path.stem for path in folder.glob(f"*{SUFFIX}"))
    if not names:
        return Feedback(machine)
    events = store.reader.events(machine, limit=MAX_EVENTS)
    new = any(event.id in names and event.rule == UNLEARNED_RULE for event in events)
    return Feedback(machine, tuple(names), new)


def update_recordings(store: JudgingStore, machine: str) -> None:
    """Make the copies agree with the verdicts: add missing ones, remove those judged otherwise.

    Events from before the machine was learned afresh, as after an overhaul, are left out: its
    sound was another one then. A clip counts by the time it was written, because recordings that
    are read fast have times before the present.

    Raises
    ------
    StateError
        If a recording cannot be copied.
    """
    folder = feedback_folder(store.root, machine)
    events = store.reader.events(machine, limit=MAX_EVENTS)
    try:
        learned_s = _learning_began_s(store.root, machine)
        for event in events:
            copy = folder / f"{event.id}{SUFFIX}"
            is_newer = max(event.opened_s, _clip_written_s(store.root, event)) >= learned_s
            if event.verdict == NoteKind.NORMAL and is_newer:
                _copy(store.root, event, copy)
            else:
                copy.unlink(missing_ok=True)
    except OSError as error:
        msg = (
            f"{folder}: the recording cannot be copied: {error.strerror}; the verdict is recorded, "
            "give it again when there is room"
        )
        raise StateError(msg) from error


def _learning_began_s(root: Path, machine: str) -> float:
    """Return when the oldest recording that the machine is learned from was written."""
    recordings = (root / "recordings" / machine / "train").glob("*.wav")
    return min((path.stat().st_mtime for path in recordings), default=float("-inf"))


def _clip_written_s(root: Path, event: Event) -> float:
    clip = root / "events" / event.id / CLIP
    return clip.stat().st_mtime if clip.is_file() else float("-inf")


def _copy(root: Path, event: Event, copy: Path) -> None:
    """Copy the clip of an event, unless it has none or the copy is up to date."""
    clip = root / "events" / event.id / CLIP
    if not clip.is_file() or (copy.exists() and copy.stat().st_size == clip.stat().st_size):
        return
    make_folder_durably(copy.parent)
    write_durably(copy, clip.read_bytes(), unfinished=copy.with_suffix(".part"))
