"""What the broker has answered, until that is stored."""

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Self

from asd_monitor.outbox.rows import Lane


@dataclass(slots=True)
class Answers:
    """Messages that need not be sent any more, by id, with their lanes."""

    acked: dict[int, Lane] = field(default_factory=dict)
    """The broker has acknowledged them."""
    removed: dict[int, Lane] = field(default_factory=dict)
    """They cannot be sent."""

    def __bool__(self) -> bool:
        return bool(self.acked or self.removed)

    def __len__(self) -> int:
        return len(self.acked) + len(self.removed)

    def ids(self) -> set[int]:
        """Return all ids."""
        return {*self.acked, *self.removed}

    def count(self, lane: Lane) -> int:
        """Return the number of messages of a lane."""
        return sum(each is lane for lanes in (self.acked, self.removed) for each in lanes.values())

    def update(self, other: Self) -> None:
        """Add those of another object."""
        self.acked |= other.acked
        self.removed |= other.removed

    def without(self, ids: Container[int]) -> "Answers":
        """Return those whose ids are not among these."""
        return Answers(
            {each: lane for each, lane in self.acked.items() if each not in ids},
            {each: lane for each, lane in self.removed.items() if each not in ids},
        )
