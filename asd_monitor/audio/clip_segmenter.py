"""Recordings of a fixed length, cut from a stream of chunks."""

import numpy as np

from asd_monitor.records import AudioChunk, FloatArray, Window

MIN_CLIP_S = 2.0
"""Minimum length of a recording that becomes a single clip; it holds the shortest window."""
MIN_REMAINDER_S = 5.0
"""Minimum length of the remainder of a longer recording. Windows must fit into every clip, so a
shorter remainder would impose short windows on the whole machine."""


class ClipSegmenter:
    """Segmentation of a stream into consecutive clips of ``clip_samples`` each.

    A clip never spans lost audio. Where a recording ends (chunks name the recording that they
    come from), the remainder becomes a shorter clip if it is long enough.

    Parameters
    ----------
    machine
        Machine name of the clips.
    clip_samples
        Length of a clip in samples.
    sample_rate_hz
        Sample rate.
    """

    def __init__(self, machine: str, clip_samples: int, sample_rate_hz: int) -> None:
        self._machine = machine
        self._clip_samples = clip_samples
        self._sample_rate_hz = sample_rate_hz
        self._parts: list[FloatArray] = []
        self._pending_samples = 0
        self._start = 0
        self._captured_at = 0.0
        self._recording: str | None = None
        self._has_cut = False

    @property
    def pending_samples(self) -> int:
        """Number of samples that are not yet part of a clip."""
        return self._pending_samples

    def push(self, chunk: AudioChunk) -> list[Window]:
        """Append a chunk and return the clips that it completes, oldest first."""
        clips: list[Window] = []
        if chunk.recording != self._recording:
            clips += self.finish()
            self._recording = chunk.recording
        if chunk.lost_samples:
            self._parts, self._pending_samples = [], 0
        if not self._pending_samples:
            self._start = chunk.start
        self._parts.append(chunk.samples)
        self._pending_samples += len(chunk.samples)
        self._captured_at = chunk.captured_at
        while self._pending_samples >= self._clip_samples:
            clips.append(self._cut(self._clip_samples))
            self._has_cut = True
        return clips

    def finish(self) -> list[Window]:
        """Return the remainder of the recording if it is long enough, and start again."""
        min_s = MIN_REMAINDER_S if self._has_cut else MIN_CLIP_S
        long_enough = self._pending_samples >= min_s * self._sample_rate_hz
        clips = [self._cut(self._pending_samples)] if long_enough else []
        self._parts, self._pending_samples, self._has_cut = [], 0, False
        return clips

    def _cut(self, length: int) -> Window:
        pending = np.concatenate(self._parts)
        samples = pending[:length].copy()
        samples.flags.writeable = False
        self._parts, self._pending_samples = [pending[length:]], len(pending) - length
        clip = Window(
            machine=self._machine,
            samples=samples,
            start=self._start,
            captured_at=self._captured_at - self._pending_samples / self._sample_rate_hz,
            recording=self._recording or "",
        )
        self._start += length
        return clip
