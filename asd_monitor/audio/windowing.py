"""Windows of fixed length, cut from a stream of chunks or from a whole clip."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from asd_monitor.records import AudioChunk, FloatArray, Window


class SlidingWindow:
    """Fixed-length windows of a stream, one every ``hop_samples``.

    The windows do not depend on how the stream was split into chunks. After lost audio, and at
    the start of a recording, the buffer restarts, so no window spans a gap.

    Parameters
    ----------
    machine
        Machine name of the windows.
    window_samples
        Length of a window in samples.
    hop_samples
        Distance between the starts of consecutive windows, in samples.
    sample_rate_hz
        Sample rate, from which each window's time of capture is computed.

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
        # Two windows long, so that samples are moved to the front once per window, not per chunk.
        self._buffer = np.empty(2 * window_samples, np.float32)
        self._filled = 0
        self._buffer_start = 0
        self._next_start: int | None = None
        self._recording = ""
        self._lost_samples = 0

    @property
    def next_end(self) -> int | None:
        """Index of the sample after the next window's last one; None before the first chunk."""
        return None if self._next_start is None else self._next_start + self._window_samples

    def push(self, chunk: AudioChunk) -> list[Window]:
        """Append a chunk and return the windows that it completes, oldest first."""
        self._lost_samples += chunk.lost_samples
        if self._next_start is None or chunk.lost_samples or chunk.recording != self._recording:
            self._recording = chunk.recording
            self._buffer_start = self._next_start = chunk.start
            self._filled = 0
        windows: list[Window] = []
        copied = 0
        while copied < len(chunk.samples):
            room = len(self._buffer) - self._filled
            part = chunk.samples[copied : copied + room]
            self._buffer[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            copied += len(part)
            buffer_end_at = chunk.captured_at - (len(chunk.samples) - copied) / self._sample_rate_hz
            windows += self._take_windows(buffer_end_at)
            if self._filled == len(self._buffer):
                self._move_to_front()
        return windows

    def _take_windows(self, buffer_end_at: float) -> list[Window]:
        """Return the windows that are complete; ``buffer_end_at`` dates the last sample."""
        assert self._next_start is not None  # noqa: S101 - set by push; for the type checker
        buffer_end = self._buffer_start + self._filled
        windows = []
        while (window_end := self._next_start + self._window_samples) <= buffer_end:
            offset = self._next_start - self._buffer_start
            samples = self._buffer[offset : offset + self._window_samples].copy()
            samples.flags.writeable = False
            windows.append(
                Window(
                    machine=self._machine,
                    samples=samples,
                    start=self._next_start,
                    captured_at=buffer_end_at - (buffer_end - window_end) / self._sample_rate_hz,
                    recording=self._recording,
                    lost_samples=self._lost_samples,
                )
            )
            self._lost_samples = 0
            self._next_start += self._hop_samples
        return windows

    def _move_to_front(self) -> None:
        """Drop the samples before the next window and move the others to the buffer's start."""
        assert self._next_start is not None  # noqa: S101 - set by push; for the type checker
        offset = min(self._next_start - self._buffer_start, self._filled)
        remaining = self._filled - offset
        self._buffer[:remaining] = self._buffer[offset : self._filled].copy()
        self._buffer_start += offset
        self._filled = remaining


def clip_windows(samples: FloatArray, window_samples: int, hop_samples: int) -> FloatArray:
    """Return all windows of a clip, the same as :class:`SlidingWindow` cuts.

    Parameters
    ----------
    samples
        ``(n,)`` float32, or ``(channels, n)``.
    window_samples, hop_samples
        As in :class:`SlidingWindow`.

    Returns
    -------
    windows
        ``(count, window_samples)`` or ``(count, channels, window_samples)``, a read-only view;
        ``count`` is 0 for a clip shorter than a window.
    """
    if samples.shape[-1] < window_samples:
        return np.empty((0, *samples.shape[:-1], window_samples), np.float32)
    windows: npt.NDArray[np.float32] = np.lib.stride_tricks.sliding_window_view(
        samples, window_samples, axis=-1
    )
    return np.moveaxis(windows, -2, 0)[::hop_samples]


def iter_clip_windows(
    blocks: Iterable[FloatArray], window_samples: int, hop_samples: int
) -> Iterator[FloatArray]:
    """Yield the windows of a clip that arrives in blocks, the same as :func:`clip_windows`.

    Parameters
    ----------
    blocks
        ``(n,)`` float32 each, or ``(channels, n)``, of any length.
    window_samples, hop_samples
        As in :class:`SlidingWindow`.
    """
    pending = np.empty(0, np.float32)
    for block in blocks:
        pending = np.concatenate([pending, block], axis=-1) if pending.size else block
        windows = clip_windows(pending, window_samples, hop_samples)
        yield from windows
        pending = pending[..., len(windows) * hop_samples :]
