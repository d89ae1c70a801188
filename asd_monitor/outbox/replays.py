"""How much of the backlog is on its way: it would be sent twice after a crash."""

import math
from collections.abc import Iterable

SMOOTHING = 0.2
"""Share of the newest time in the mean."""


class Replays:
    """Messages of the backlog that were sent and whose acknowledgement has not been stored yet."""

    def __init__(self) -> None:
        self.time_s = 0.0
        """Smoothed time from sending a message until its acknowledgement was stored."""
        self._sent_at_s: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._sent_at_s)

    def add(self, row_id: int, now_s: float) -> None:
        """Note that a message is sent."""
        self._sent_at_s[row_id] = now_s

    def remove(self, row_ids: Iterable[int], now_s: float) -> bool:
        """Note that acknowledgements were stored; return whether any was of the backlog."""
        sent_at_s = [self._sent_at_s.pop(each) for each in row_ids if each in self._sent_at_s]
        for each in sent_at_s:
            self.time_s += SMOOTHING * (now_s - each - self.time_s)
        return bool(sent_at_s)

    def clear(self) -> None:
        """Forget all, as at the end of a connection."""
        self._sent_at_s.clear()


def choose_window(replay_per_s: float, time_s: float, largest: int) -> int:
    """Return how many messages of the backlog may be on their way at a time.

    As few as the rate needs: if the broker answers within milliseconds, two.

    Parameters
    ----------
    replay_per_s
        Messages of the backlog that are to be sent per second.
    time_s
        Time from sending a message until its acknowledgement was stored.
    largest
        The result is at most this, and at least 1.
    """
    return max(1, min(largest, 1 + math.ceil(replay_per_s * time_s)))
