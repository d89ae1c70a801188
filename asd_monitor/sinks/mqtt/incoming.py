"""Messages that the broker delivers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that the broker has delivered."""

    topic: str
    payload: bytes
    retained: bool
    """It was published before the subscription."""
