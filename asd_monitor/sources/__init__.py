"""Sources of audio, one per module; each implements :class:`AudioSource`.

:data:`asd_monitor.sources.registry.SOURCES` lists them.
"""

from collections.abc import Callable
from typing import Protocol

from asd_monitor.records import AudioChunk, SourceHealth

MAX_CHUNK_INTERVAL_S = 1.0
"""While audio arrives it is delivered at least this often, however long the hop is."""


class SourceSettings(Protocol):
    """Settings of a source: a frozen pydantic model.

    A ``before`` validator of the model accepts short forms, such as a microphone's name alone.
    """

    @property
    def is_live(self) -> bool:
        """Whether audio arrives at the pace of real time."""

    @property
    def is_endless(self) -> bool:
        """Whether its sound continues after a restart, unlike that of recordings."""

    @property
    def description(self) -> str:
        """What the source is, for users: ``microphone USB Audio``."""


class AudioSource(Protocol):
    """A source of mono float32 audio at the model's rate, for one machine.

    The source runs by itself, in its own thread or process: it opens its device, reopens it
    after a loss, resamples, and queues the audio until it is read.
    Once the source exists, these methods never raise; :meth:`health` reports failures.
    """

    machine: str

    def expect_windows(self, end: int, hop_samples: int) -> None:
        """Set where windows end: before sample ``end``, and every hop from there.

        The reader has no use for audio in between, so a live source need not wake it earlier.
        Before the first call, and while the source is not healthy, it wakes the reader for
        every chunk.
        """

    def open(self, wake: Callable[[], None]) -> None:
        """Start delivering; call ``wake``, from any thread, for new audio or a new state."""

    def read(self) -> list[AudioChunk]:
        """Return the audio that arrived since the last call; never blocks."""

    def health(self) -> SourceHealth:
        """Return the current health; never blocks."""

    def close(self) -> None:
        """Stop and release the device; may be called at any time, and twice."""
