"""Where audio comes from. One source per file; each meets :class:`AudioSource`."""

from collections.abc import Callable
from typing import Protocol

from asd_monitor.records import AudioChunk, SourceHealth

LONGEST_PIECE_S = 1.0
"""Audio is handed on at least so often while it arrives, however long the hop is."""


class AudioSource(Protocol):
    """Deliver mono float32 audio at the model's rate, for one machine.

    The source runs by itself (in a thread or a process of its own): it opens its device,
    reopens it when it is lost, resamples, and keeps what arrived until it is read.
    Trouble never raises out of these methods once the source exists; :meth:`health` tells it.
    """

    machine: str

    def expect_windows(self, end: int, hop_samples: int) -> None:
        """Take note of where windows end: before sample ``end``, and every hop from there.

        The reader has no use for audio in between, so a live source need not wake it before.
        Until told, and while all is not well, it wakes the reader as audio comes.
        """

    def open(self, wake: Callable[[], None]) -> None:
        """Begin delivering. ``wake`` is called, from any thread, whenever there is news."""

    def read(self) -> list[AudioChunk]:
        """Return what arrived since the last call; never blocks."""

    def health(self) -> SourceHealth:
        """Return the present health; never blocks."""

    def close(self) -> None:
        """Stop and free the device; may be called twice and at any time."""
