"""Windows of normal recordings, with the pairs that must not be compared with each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap

import numpy as np
import numpy.typing as npt

from asd_monitor.audio.lazy_clips import LazyClip
from asd_monitor.audio.quality import assess
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.records import SCORED_QUALITIES, FloatArray

GUARD_S = 30.0
"""Windows of a session that are closer in time than this are nearly identical."""
MAX_GUARD_FRACTION = 0.1
"""Maximum guard, as a fraction of a session, with one or two sessions: enough windows remain."""
BLOCK_S = 10.0
"""Windows of the same block are held out together."""
MAX_FOLDS = 20
MAX_SINGLE_BLOCKS = 40
"""Up to this number of blocks, each of them is a fold."""
MASK_ROWS = 256
"""Rows of the exclusion mask that are computed at a time."""

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Recording:
    """Normal sound of one machine."""

    name: str
    samples: FloatArray | LazyClip
    """``(n,)`` float32 in [-1, 1], mono."""
    session: str = ""
    """Recordings of the same session that are close in time must not be compared with each other.
    Empty: the recording is a session of its own."""
    start_s: float = 0.0
    """Start, in seconds since an arbitrary time of its session."""
    is_confirmed: bool = False
    """Whether a person confirmed it as normal: even if short, it may be a mode of the machine."""


@dataclass(frozen=True)
class LazyWindows:
    """Windows of recordings that are cut on access, so that sound need not stay in memory."""

    recordings: Sequence[Recording]
    positions: list[tuple[int, int]]
    """Recording index and first sample of each window."""
    window_samples: int

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.positions)

    def __iter__(self) -> Iterator[FloatArray]:
        """Iterate over the windows, ``(window_samples,)`` float32 each."""
        return starmap(self._cut, self.positions)

    def __getitem__(self, part: slice) -> list[FloatArray]:
        """Return consecutive windows."""
        return list(starmap(self._cut, self.positions[part]))

    def take(self, indices: npt.NDArray[np.int64]) -> "LazyWindows":
        """Return some of the windows."""
        positions = [self.positions[index] for index in indices]
        return LazyWindows(self.recordings, positions, self.window_samples)

    def _cut(self, recording: int, start: int) -> FloatArray:
        samples = self.recordings[recording].samples
        return np.asarray(samples[start : start + self.window_samples], dtype=np.float32)


@dataclass(frozen=True)
class TrainingWindows:
    """Windows of normal sound, with the session and the time of each."""

    waveforms: LazyWindows
    session: npt.NDArray[np.int64]
    """``(n,)``."""
    start_s: npt.NDArray[np.float64]
    """``(n,)``, within the session."""
    disjoint: BoolArray
    """``(n,)``: marks windows none of which overlap each other."""
    window_s: float

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.waveforms)

    @property
    def confirmed(self) -> BoolArray:
        """``(n,)``: True for windows of recordings that a person confirmed as normal."""
        recordings = self.waveforms.recordings
        return np.array([recordings[i].is_confirmed for i, _ in self.waveforms.positions], np.bool_)

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the sound."""
        return round(self.waveforms.window_samples / self.window_s)

    def take(self, indices: npt.NDArray[np.int64]) -> "TrainingWindows":
        """Return some of the windows."""
        return TrainingWindows(
            self.waveforms.take(indices),
            self.session[indices],
            self.start_s[indices],
            self.disjoint[indices],
            self.window_s,
        )

    def exclusion_mask(self) -> BoolArray:
        """Return ``(n, n)``: True where two windows must not be neighbours of each other.

        These are windows of the same session that are closer than the guard. Nearly identical
        windows would otherwise make each other look normal.
        """
        sessions = np.unique(self.session)
        min_distance_s = np.empty(len(self))
        for session in sessions:
            inside = self.session == session
            span_s = float(np.ptp(self.start_s[inside])) + self.window_s
            guard_s = GUARD_S if len(sessions) > 2 else min(GUARD_S, MAX_GUARD_FRACTION * span_s)
            min_distance_s[inside] = self.window_s + guard_s
        excluded = np.empty((len(self), len(self)), np.bool_)
        # By blocks of rows: the differences of thousands of windows take hundreds of MB.
        for first in range(0, len(self), MASK_ROWS):
            rows = slice(first, first + MASK_ROWS)
            distance_s = np.abs(self.start_s[rows, None] - self.start_s)
            same_session = self.session[rows, None] == self.session
            excluded[rows] = same_session & (distance_s < min_distance_s[rows, None])
        return excluded

    def folds(self) -> npt.NDArray[np.int64]:
        """Return ``(n,)``: the fold in which each window is held out, numbered from 0.

        A session is divided into blocks; all windows of a block are in the same fold.
        """
        block = np.zeros(len(self), np.int64)
        count = 0
        sessions = np.unique(self.session)
        for session in sessions:
            inside = np.flatnonzero(self.session == session)
            elapsed_s = self.start_s[inside] - self.start_s[inside].min()
            block_s = BLOCK_S
            if len(sessions) <= 2:
                max_block_s = max(self.window_s, MAX_GUARD_FRACTION * float(elapsed_s.max()))
                block_s = min(BLOCK_S, max_block_s)
            # The margin assigns starts that were rounded to samples to the right block.
            index = np.floor(elapsed_s / block_s + 1e-6).astype(np.int64)
            _, index = np.unique(index, return_inverse=True)  # blocks without windows are skipped
            block[inside] = count + index
            count += int(index.max()) + 1
        return block if count <= MAX_SINGLE_BLOCKS else block % MAX_FOLDS


def frame_recordings(
    recordings: Sequence[Recording], window_samples: int, hop_samples: int, sample_rate_hz: int
) -> TrainingWindows:
    """Cut recordings into windows, without those that have no usable sound.

    Parameters
    ----------
    recordings
        Normal sound.
    window_samples, hop_samples
        Length of a window, and distance between the starts of consecutive windows.
    sample_rate_hz
        Sample rate.
    """
    hops_per_window = -(-window_samples // hop_samples)
    session_index: dict[str, int] = {}
    positions: list[tuple[int, int]] = []
    sessions: list[int] = []
    starts_s: list[float] = []
    disjoint: list[bool] = []
    for number, recording in enumerate(recordings):
        key = recording.session or f"\0{number}"
        session = session_index.setdefault(key, len(session_index))
        samples = np.asarray(recording.samples, dtype=np.float32)
        for index, window in enumerate(clip_windows(samples, window_samples, hop_samples)):
            if assess(window).quality in SCORED_QUALITIES:
                positions.append((number, index * hop_samples))
                sessions.append(session)
                starts_s.append(recording.start_s + index * hop_samples / sample_rate_hz)
                disjoint.append(index % hops_per_window == 0)
    return TrainingWindows(
        LazyWindows(recordings, positions, window_samples),
        np.array(sessions, np.int64),
        np.array(starts_s, np.float64),
        np.array(disjoint, np.bool_),
        window_samples / sample_rate_hz,
    )


def usable_duration_s(recordings: Sequence[Recording], sample_rate_hz: int) -> float:
    """Return the length of usable sound, counted in whole seconds of each recording."""
    usable = 0
    for recording in recordings:
        samples = np.asarray(recording.samples, dtype=np.float32)
        for second in clip_windows(samples, sample_rate_hz, sample_rate_hz):
            usable += assess(second).quality in SCORED_QUALITIES
    return float(usable)


def evenly_spaced_indices(count: int, max_count: int) -> npt.NDArray[np.int64]:
    """Return at most ``max_count`` of the indices below ``count``, evenly spaced."""
    return np.linspace(0, count - 1, min(count, max_count)).round().astype(np.int64)
