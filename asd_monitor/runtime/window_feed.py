"""Assemble the windows of one machine for its detector, and count those that are late."""

import math
from typing import TYPE_CHECKING

from asd_monitor.audio.windowing import SlidingWindow
from asd_monitor.records import AudioChunk, Window
from asd_monitor.sources import AudioSource

if TYPE_CHECKING:
    from asd_monitor.model_file.manifest import Manifest

MAX_WAITING_WINDOWS = 4
MAX_WAITING_S = 6.0
"""Windows are late when more of one machine than both of these wait at once. A microphone that was
suspected of lost audio for a moment then delivers its whole buffer; that must not count as late."""


class WindowFeed:
    """Assemble the windows that a model needs from a source's audio.

    Parameters
    ----------
    machine
        Machine name of the windows.
    source
        Where the audio comes from; :meth:`announce_window_ends` informs it where windows end.
    manifest
        Of the model: window, hop and sample rate.

    Attributes
    ----------
    window_s
        Length of a window in seconds.
    """

    def __init__(self, machine: str, source: AudioSource, manifest: "Manifest") -> None:
        rate_hz = manifest.sample_rate_hz
        self.window_s = manifest.window_samples / rate_hz
        self._source = source
        self._format = _format_of(manifest)
        self._hop_samples = manifest.hop_samples
        self._sliding = SlidingWindow(
            machine, manifest.window_samples, manifest.hop_samples, rate_hz
        )
        hop_s = manifest.hop_samples / rate_hz
        self._max_waiting = max(MAX_WAITING_WINDOWS, math.ceil(MAX_WAITING_S / hop_s))
        self._phase: int | None = None

    def fits(self, manifest: "Manifest") -> bool:
        """Return whether another model needs the same windows."""
        return _format_of(manifest) == self._format

    def push(self, chunk: AudioChunk) -> list[Window]:
        """Append a chunk and return the windows that it completes, oldest first."""
        return self._sliding.push(chunk)

    def announce_window_ends(self) -> None:
        """Inform the source where windows end, whenever a gap has moved that."""
        end = self._sliding.next_end
        if end is not None and end % self._hop_samples != self._phase:
            self._phase = end % self._hop_samples
            self._source.expect_windows(end, self._hop_samples)

    def count_late(self, windows: list[Window]) -> int:
        """Return how many of the waiting windows are too many; the oldest should be dropped."""
        return max(0, len(windows) - self._max_waiting)


def _format_of(manifest: "Manifest") -> tuple[int, int, int]:
    return manifest.window_samples, manifest.hop_samples, manifest.sample_rate_hz
