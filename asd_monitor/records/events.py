"""Evidence of events, and what people did about them."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Band:
    """A frequency band that deviates from normal sound during an event."""

    low_hz: float
    high_hz: float
    change_db: float
    """Difference from normal sound; positive: louder."""
    from_s: float = 0.0
    """Start of the deviation, in seconds from the start of the clip."""
    to_s: float = 0.0
    """End of the deviation, in seconds from the start of the clip."""


@dataclass(frozen=True, slots=True)
class EvidenceReady:
    """The evidence of an event, when it is first there and whenever it has changed."""

    machine: str
    event_id: str
    at: float
    """When it was made, in seconds since the epoch."""
    headline: str
    """What changed in the sound, in one sentence for the user."""
    bands: tuple[Band, ...] = ()
    """Frequency bands that differ from normal sound, the most important ones first."""
    picture: str = ""
    """Path of the spectrogram as a PNG file; empty if there is none."""
    clip: str = ""
    """Path of the sound as a FLAC file; empty if none is kept."""
    clip_s: float = 0.0
    """Length of the clip."""
    url: str = ""
    """Page of the event; empty unless the page's external URL is known."""
    is_final: bool = False
    """Whether the event has ended, so that the evidence changes no more."""


class AlarmStatus(StrEnum):
    """What people did about the events of a machine, as distinct from its measured state."""

    NONE = "none"
    """There is nothing to acknowledge."""
    UNACKNOWLEDGED = "unacknowledged"
    """An event is open, and no one has acknowledged or judged it."""
    ACKNOWLEDGED = "acknowledged"
    """An event is open, and someone has acknowledged or judged it."""
    RETURNED = "returned-unacknowledged"
    """The machine is normal again, and no one has acknowledged or judged its last events."""
    SHELVED = "shelved"
    """No notifications are sent until a given time."""
    MAINTENANCE = "in-maintenance"
    """As shelved, because people work at the machine."""


@dataclass(frozen=True, slots=True)
class MachineAlarm:
    """What people did about the events of a machine, whenever that changes."""

    machine: str
    status: AlarmStatus
    at: float
    """When it became so, or when it was found at the start; in seconds since the epoch."""
    event_id: str = ""
    """The open event, or else the newest that is unacknowledged; empty if there is none."""
    unacknowledged: int = 0
    """Events that no one has acknowledged or judged, the open one included."""
    verdict: str = ""
    """What a person found of ``event_id``: ``normal``, ``fault``, ``unsure``; empty if nothing."""
    until_s: float | None = None
    """End of the shelf or of the maintenance, in seconds since the epoch."""
    who: str = ""
    """Who acknowledged, judged or shelved."""
    comment: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether notifications about the machine are suspended."""
        return self.status in (AlarmStatus.SHELVED, AlarmStatus.MAINTENANCE)


@dataclass(frozen=True, slots=True)
class MachineRemoved:
    """The last record of a machine that was removed from the running monitor."""

    machine: str
