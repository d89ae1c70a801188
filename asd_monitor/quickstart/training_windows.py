"""Normal recordings, cut into windows that know which others they may be compared with."""

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
"""Sound closer in time than this is nearly the same sound."""
GUARD_SHARE = 0.1
"""With one or two sessions the guard is at most this share of a session, or nothing is left."""
BLOCK_S = 10.0
"""Windows of one block are held out together."""
FOLDS_AT_MOST = 20
EXACT_BLOCKS = 40
"""Up to so many blocks each is held out by itself."""

ROWS_AT_ONCE = 256

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Recording:
    """Normal sound of one machine."""

    name: str
    samples: FloatArray | LazyClip
    """``(n,)`` float32 in [-1, 1], mono."""
    session: str = ""
    """Recordings of the same session that are close in time do not vouch for one another.
    Empty: the recording has nothing to do with any other."""
    start_s: float = 0.0
    """When it began, in seconds since some moment of its session."""


@dataclass(frozen=True)
class Waveforms:
    """Windows of recordings, cut when they are asked for, so that sound need not stay in memory."""

    recordings: Sequence[Recording]
    places: list[tuple[int, int]]
    """For each window: which recording, and its first sample."""
    window_samples: int

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.places)

    def __iter__(self) -> Iterator[FloatArray]:
        """Go through ``(window_samples,)`` float32 each."""
        return starmap(self._at, self.places)

    def __getitem__(self, part: slice) -> list[FloatArray]:
        """Return consecutive windows."""
        return list(starmap(self._at, self.places[part]))

    def take(self, chosen: npt.NDArray[np.int64]) -> "Waveforms":
        """Return some of the windows."""
        return Waveforms(self.recordings, [self.places[i] for i in chosen], self.window_samples)

    def _at(self, recording: int, start: int) -> FloatArray:
        samples = self.recordings[recording].samples
        return np.asarray(samples[start : start + self.window_samples], dtype=np.float32)


@dataclass(frozen=True)
class TrainingWindows:
    """Windows of normal sound, with where and when each was heard."""

    waveforms: Waveforms
    session: npt.NDArray[np.int64]
    """``(n,)``."""
    start_s: npt.NDArray[np.float64]
    """``(n,)``, within the session."""
    disjoint: BoolArray
    """``(n,)``: windows that overlap no other one marked so."""
    window_s: float

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.waveforms)

    def take(self, chosen: npt.NDArray[np.int64]) -> "TrainingWindows":
        """Return some of the windows."""
        return TrainingWindows(
            self.waveforms.take(chosen),
            self.session[chosen],
            self.start_s[chosen],
            self.disjoint[chosen],
            self.window_s,
        )

    def exclusion_mask(self) -> BoolArray:
        """Return ``(n, n)``: True where two windows must not vouch for one another."""
        sessions = np.unique(self.session)
        reach_s = np.empty(len(self))
        for session in sessions:
            inside = self.session == session
            span_s = float(np.ptp(self.start_s[inside])) + self.window_s
            guard_s = GUARD_S if len(sessions) > 2 else min(GUARD_S, GUARD_SHARE * span_s)
            reach_s[inside] = self.window_s + guard_s
        together = np.empty((len(self), len(self)), np.bool_)
        # Row by row blocks: the differences of thousands of windows at once take 100s of MB.
        for first in range(0, len(self), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            apart_s = np.abs(self.start_s[rows, None] - self.start_s)
            same = self.session[rows, None] == self.session
            together[rows] = same & (apart_s < reach_s[rows, None])
        return together

    def folds(self) -> npt.NDArray[np.int64]:
        """Return ``(n,)``: which windows are held out together, numbered from 0."""
        block = np.zeros(len(self), np.int64)
        count = 0
        sessions = np.unique(self.session)
        for session in sessions:
            inside = np.flatnonzero(self.session == session)
            since_s = self.start_s[inside] - self.start_s[inside].min()
            block_s = BLOCK_S
            if len(sessions) <= 2:
                block_s = min(BLOCK_S, max(self.window_s, GUARD_SHARE * float(since_s.max())))
            # The slack keeps starts that are rounded to samples on their side.
            places = np.floor(since_s / block_s + 1e-6).astype(np.int64)
            _, places = np.unique(places, return_inverse=True)
            block[inside] = count + places
            count += int(places.max()) + 1
        return block if count <= EXACT_BLOCKS else block % FOLDS_AT_MOST


def frame_recordings(
    recordings: Sequence[Recording], window_samples: int, hop_samples: int, sample_rate_hz: int
) -> TrainingWindows:
    """Cut recordings into windows; those without usable sound are left out.

    Parameters
    ----------
    recordings
        Normal sound.
    window_samples, hop_samples
        Length of a window, and how far apart their starts are.
    sample_rate_hz
        Rate of the samples.
    """
    every = -(-window_samples // hop_samples)
    names: dict[str, int] = {}
    places: list[tuple[int, int]] = []
    sessions: list[int] = []
    starts_s: list[float] = []
    disjoint: list[bool] = []
    for place, recording in enumerate(recordings):
        key = recording.session or f"\0{place}"
        session = names.setdefault(key, len(names))
        samples = np.asarray(recording.samples, dtype=np.float32)
        for index, window in enumerate(clip_windows(samples, window_samples, hop_samples)):
            if assess(window).quality in SCORED_QUALITIES:
                places.append((place, index * hop_samples))
                sessions.append(session)
                starts_s.append(recording.start_s + index * hop_samples / sample_rate_hz)
                disjoint.append(index % every == 0)
    return TrainingWindows(
        Waveforms(recordings, places, window_samples),
        np.array(sessions, np.int64),
        np.array(starts_s, np.float64),
        np.array(disjoint, np.bool_),
        window_samples / sample_rate_hz,
    )


def usable_duration_s(recordings: Sequence[Recording], sample_rate_hz: int) -> float:
    """Return how many seconds of sound, in whole seconds of each recording, can be learned from."""
    usable = 0
    for recording in recordings:
        samples = np.asarray(recording.samples, dtype=np.float32)
        for second in clip_windows(samples, sample_rate_hz, sample_rate_hz):
            usable += assess(second).quality in SCORED_QUALITIES
    return float(usable)


def evenly_spaced_indices(count: int, max_count: int) -> npt.NDArray[np.int64]:
    """Return at most ``max_count`` of the indices below ``count``, evenly spaced."""
    return np.linspace(0, count - 1, min(count, max_count)).round().astype(np.int64)
