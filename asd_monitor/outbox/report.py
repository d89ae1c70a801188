"""What an outbox counts."""

from typing import Literal, Protocol

DropReason = Literal["full", "memory", "refused", "ended", "error"]


class OutboxReport(Protocol):
    """Receives what is counted."""

    def dropped(self, reason: DropReason, scores: int, events: int) -> None:
        """Count messages that will not be sent."""

    def set_aside(self) -> None:
        """Count a database that was set aside."""
