"""The recordings of events that people judged to be normal sound.

They are copies of the clips, in ``recordings/<machine>/feedback/``. Nothing is learned from them
until a person asks for it.
"""

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from asd_monitor.errors import AsdMonitorError, StateError
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
CONFIRMED_EVENTS = "confirmed_events"
"""Entry of a model's manifest on its training: the events whose recordings it was learned from."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """Recordings of a machine that people have confirmed to be normal."""

    machine: str
    recordings: tuple[str, ...] = ()
    """Ids of their events."""
    has_new_mode: bool = False
    """Whether one is of a state that was not learned, which is then learned as a mode."""
    learned: tuple[str, ...] = ()
    """Ids of the events whose recordings the model in use was learned from."""

    @property
    def new(self) -> tuple[str, ...]:
        """Confirmed recordings that the model in use was not learned from."""
        return tuple(name for name in self.recordings if name not in self.learned)

    @property
    def withdrawn(self) -> tuple[str, ...]:
        """Recordings that the model in use was learned from, and that are not confirmed any more.

        Their events were judged as faults since, for example.
        """
        return tuple(name for name in self.learned if name not in self.recordings)

    @property
    def can_learn(self) -> bool:
        """Whether a model learned again would differ from the one in use."""
        return self.is_enough and bool(self.new or self.withdrawn)

    @property
    def is_enough(self) -> bool:
        """Whether there are enough of them to learn the machine again."""
        return self.has_new_mode or len(self.recordings) >= ENOUGH_RECORDINGS

    @property
    def next_step(self) -> str:
        """What can be done with them, in one sentence for the user."""
        count, missing = len(self.recordings), ENOUGH_RECORDINGS - len(self.recordings)
        if self.is_enough and not self.can_learn:
            return (
                f"The model in use was learned from {_count_recordings(count)} confirmed as "
                "normal: learning again would change nothing until another one is confirmed."
            )
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


def _count_recordings(count: int) -> str:
    return "the 1 recording" if count == 1 else f"all {count} recordings"


def feedback_folder(root: Path, machine: str) -> Path:
    """Return the folder of a machine's confirmed recordings."""
    return root / "recordings" / machine / "feedback"


def find_feedback(store: JudgingStore, machine: str) -> Feedback:
    """Return the confirmed recordings of a machine."""
    folder = feedback_folder(store.root, machine)
    names = sorted(path.stem for path in folder.glob(f"*{SUFFIX}"))
    if not names:
        return Feedback(machine)
    model = store.root / "models" / f"{machine}.asd"
    events = store.reader.events(machine, limit=MAX_EVENTS)
    new = any(event.id in names and event.rule == UNLEARNED_RULE for event in events)
    return Feedback(machine, tuple(names), new, _read_learned(model))


def _read_learned(model: Path) -> tuple[str, ...]:
    """Return the events whose recordings a model was learned from; none if it cannot be read."""
    try:
        status = model.stat()
    except OSError:
        return ()
    return _read_learned_version(model, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _read_learned_version(model: Path, _mtime_ns: int, _size: int) -> tuple[str, ...]:
    from asd_monitor.model_file import read_manifest

    try:
        learned = read_manifest(model)[0].training.get(CONFIRMED_EVENTS, "")
    except AsdMonitorError:
        return ()
    return tuple(name for name in str(learned).split(", ") if name)


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
