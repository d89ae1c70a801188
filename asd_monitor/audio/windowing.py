"""Chunks of any length in, windows of one length out, cut by sample index alone."""

import numpy as np
import numpy.typing as npt

from asd_monitor.records import AudioChunk, FloatArray, Window


class SlidingWindow:
    """Assemble fixed-length windows every ``hop_samples``.

    The windows do not depend on how the stream was chopped into chunks. After lost audio, and
    where a new recording begins, the buffer restarts, so no window spans a gap.

    Parameters
    ----------
    machine
        Name that the windows carry.
    window_samples
        Length of a window in samples.
    hop_samples
        Distance between the starts of consecutive windows, in samples.
    sample_rate_hz
        Rate of the samples; dates each window by its last sample.

    Raises
    ------
    ValueError
        If ``hop_samples`` is not in [1, window_samples].
    """

    def __init__(
        self, machine: str, window_samples: int, hop_samples: int, sample_rate_hz: int
    ) -> None:
        if not 1 <= hop_samples <= window_samples:
            msg = f"expected hop_samples in [1, {window_samples}], got {hop_samples}"
            raise ValueError(msg)
        self._machine = machine
        self._window_samples = window_samples
        self._hop_samples = hop_samples
        self._sample_rate_hz = sample_rate_hz
        # Two windows long, so that the tail is moved to the front once a window, not once a chunk.
        self._buffer = np.empty(2 * window_samples, np.float32)
        self._filled = 0
        self._buffer_start = 0
        self._next_start: int | None = None
        self._recording = ""
        self._lost_samples = 0

    @property
    def next_end(self) -> int | None:
        """Index of the sample that follows the next window; None before the first chunk."""
        return None if self._next_start is None else self._next_start + self._window_samples

    def push(self, chunk: AudioChunk) -> list[Window]:
        """Take a chunk and return the windows that it completes, oldest first."""
        self._join(chunk)
        windows: list[Window] = []
        taken = 0
        while taken < len(chunk.samples):
            room = len(self._buffer) - self._filled
            piece = chunk.samples[taken : taken + room]
            self._buffer[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            taken += len(piece)
            end_at = chunk.captured_at - (len(chunk.samples) - taken) / self._sample_rate_hz
            windows += self._cut(end_at)
            self._make_room()
        return windows

    def _join(self, chunk: AudioChunk) -> None:
        """Restart at a gap or a new recording; note how much was lost."""
        expected = self._buffer_start + self._filled
        if self._next_start is not None and chunk.recording == self._recording:
            if chunk.start == expected:
                return
            self._lost_samples += max(0, chunk.start - expected)
        self._recording = chunk.recording
        self._buffer_start = chunk.start
        self._next_start = chunk.start
        self._filled = 0

    def _cut(self, end_at: float) -> list[Window]:
        """Return the windows that the buffer completes; its last sample is from ``end_at``."""
        assert self._next_start is not None  # noqa: S101 - set by _join; tells the type checker
        end = self._buffer_start + self._filled
        windows = []
        while self._next_start + self._window_samples <= end:
            offset = self._next_start - self._buffer_start
            samples = self._buffer[offset : offset + self._window_samples].copy()
            samples.flags.writeable = False
            window_end = self._next_start + self._window_samples
            windows.append(
                Window(
                    machine=self._machine,
                    samples=samples,
                    start=self._next_start,
                    captured_at=end_at - (end - window_end) / self._sample_rate_hz,
                    recording=self._recording,
                    lost_samples=self._lost_samples,
                )
            )
            self._lost_samples = 0
            self._next_start += self._hop_samples
        return windows

    def _make_room(self) -> None:
        """Move what later windows need to the front once the buffer is full."""
        assert self._next_start is not None  # noqa: S101 - set by _join; tells the type checker
        if self._filled < len(self._buffer):
            return
        offset = min(self._next_start - self._buffer_start, self._filled)
        kept = self._filled - offset
        self._buffer[:kept] = self._buffer[offset : self._filled].copy()
        self._buffer_start += offset
        self._filled = kept


def clip_windows(samples: FloatArray, window_samples: int, hop_samples: int) -> FloatArray:
    """Return all windows of a clip, cut where :class:`SlidingWindow` cuts them.

    Parameters
    ----------
    samples
        ``(n,)`` float32.
    window_samples, hop_samples
        As in :class:`SlidingWindow`.

    Returns
    -------
    windows
        ``(count, window_samples)`` read-only view; ``count`` is 0 for a clip shorter than a window.
    """
    if len(samples) < window_samples:
        return np.empty((0, window_samples), np.float32)
    views: npt.NDArray[np.float32] = np.lib.stride_tricks.sliding_window_view(
        samples, window_samples
    )
    return views[::hop_samples]
