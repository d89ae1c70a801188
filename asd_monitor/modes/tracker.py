"""Follow the mode of a machine from window to window."""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.blocks import BLOCK_S
from asd_monitor.modes.learned import LearnedModes
from asd_monitor.records import ModeReading, WindowScore

Vector = npt.NDArray[np.float64]

SWITCH_S = 10.0
"""A new mode is reported when it has been the nearest for this long."""
MIN_DIFFERENCE_DB = 7.0
"""Sound differs from a mode in an octave by at least this much."""
DIFFERENT_OCTAVES = 0.75
"""Part of the octaves in which a state that was not learned differs from every mode."""
MIN_UNEVENNESS_DB = 1.5
"""A change that is equal in all octaves is one of gain, and no other state."""
STEADY_DB = 1.0
"""Levels that change by less than this are always steady."""
SAME_STATE_DB = 3.0
"""A state that was not learned lasts while the sound differs from its beginning by less."""


@dataclass(frozen=True, slots=True)
class _Recent:
    start: int
    profile: Vector


class ModeTracker:
    """Assign every window to a mode, or to a state that was not learned.

    The mode is that whose profile is nearest to the median of the last ten seconds. It is held
    until another one has been the nearest for a while.

    A state that was not learned is one in which the sound is as steady as in a learned mode, and
    differs from every mode by 7 dB or more in three of four octaves, for twenty seconds. Faults
    add sound in some octaves, or change it in bursts; changes of gain are equal in all octaves.

    Parameters
    ----------
    modes
        Of the machine.
    window_samples, sample_rate_hz
        Length of a window, and the sample rate.

    Attributes
    ----------
    modes
        As given; only their names may be changed.
    """

    def __init__(self, modes: LearnedModes, window_samples: int, sample_rate_hz: int) -> None:
        self.modes = modes
        self._window_samples = window_samples
        self._block_samples = max(round(BLOCK_S * sample_rate_hz), window_samples)
        self._switch_samples = round(SWITCH_S * sample_rate_hz)
        self._steady_db = max(STEADY_DB, 2 * modes.steadiness_db)
        self._known = np.array([mode.profile_db for mode in modes.modes])
        self.reset()

    def reset(self) -> None:
        """Discard all windows."""
        self._recent: deque[_Recent] = deque()
        self._held: int | None = None
        self._other_since: int | None = None
        self._unlearned: Vector | None = None

    def follow(self, profile: Vector, start: int, scores: Vector) -> tuple[Vector, ModeReading]:
        """Take a window into account; return its scores adjusted to the mode, and the mode.

        While the mode changes, the window is judged by the mode in which it is more normal.

        Parameters
        ----------
        profile
            ``(octaves,)`` of the window.
        start
            Its first sample.
        scores
            ``(1 + voices,)``: its score, then its voices.
        """
        held = self._update(profile, start)
        candidates = {held, self.modes.nearest(profile)}
        adjusted = min(
            (self.modes.adjust(scores, mode) for mode in sorted(candidates)),
            key=lambda values: float(values[0]),
        )
        return adjusted, self.reading

    def adjust(self, score: WindowScore, profile: Vector) -> WindowScore:
        """Take a scored window into account; return it with its scores adjusted to the mode."""
        if score.value is None:
            return score
        scores = np.array([score.value, *score.voices])
        adjusted, mode = self.follow(profile, score.window_start, scores)
        return replace(score, value=float(adjusted[0]), voices=tuple(adjusted[1:]), mode=mode)

    @property
    def reading(self) -> ModeReading:
        """The mode of the newest window; the first one before there is any."""
        mode = self.modes.modes[self._held or 0]
        if self._unlearned is None:
            return ModeReading(mode.name)
        difference = self._unlearned - self._known[self._held or 0]
        return ModeReading(
            mode.name, is_learned=False, description=_describe(difference, mode.name)
        )

    def _update(self, profile: Vector, start: int) -> int:
        """Take a window into account; return the index of the mode that is held."""
        if self._recent and not 0 < start - self._recent[-1].start <= self._window_samples:
            self.reset()
        self._recent.append(_Recent(start, profile))
        oldest = start + self._window_samples - 2 * self._block_samples
        while self._recent[0].start < oldest:
            self._recent.popleft()
        newest = self._newest_block()
        self._hold(self.modes.nearest(newest), start)
        assert self._held is not None  # noqa: S101 - set by _hold
        self._unlearned = self._find_unlearned(newest)
        return self._held

    def _hold(self, nearest: int, start: int) -> None:
        span = start - self._recent[0].start + self._window_samples
        if self._held is None or span < self._block_samples:
            self._held = nearest
        if nearest == self._held:
            self._other_since = None
        elif self._other_since is None:
            self._other_since = start
        elif start - self._other_since >= self._switch_samples:
            self._held, self._other_since = nearest, None

    def _newest_block(self) -> Vector:
        return np.asarray(np.median([item.profile for item in self._split()[1]], 0))

    def _split(self) -> tuple[list[_Recent], list[_Recent]]:
        """Return the windows of the block before the newest one, and those of the newest."""
        end = self._recent[-1].start + self._window_samples
        border = end - self._block_samples
        older = [item for item in self._recent if item.start < border]
        return older, [item for item in self._recent if item.start >= border]

    def _find_unlearned(self, newest: Vector) -> Vector | None:
        """Return the profile of the state that was not learned; None if the sound is a mode."""
        if not self._differs(newest):
            return None
        if self._unlearned is not None:
            return self._unlearned if _rms(newest - self._unlearned) < SAME_STATE_DB else None
        span = self._recent[-1].start - self._recent[0].start + self._window_samples
        if span < 2 * self._block_samples - self._window_samples:
            return None
        older = np.asarray(np.median([item.profile for item in self._split()[0]], 0))
        spread = float(np.median(np.std([item.profile for item in self._recent], 0)))
        is_steady = _rms(newest - older) < self._steady_db and spread < self._steady_db
        return newest if is_steady and self._differs(older) else None

    def _differs(self, profile: Vector) -> bool:
        """Return whether a profile differs from every mode as other states of a machine do."""
        differences = profile - self._known
        octaves = (np.abs(differences) >= MIN_DIFFERENCE_DB).mean(1)
        return bool(
            np.all((octaves >= DIFFERENT_OCTAVES) & (differences.std(1) >= MIN_UNEVENNESS_DB))
        )


def _rms(values: Vector) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _describe(difference: Vector, nearest: str) -> str:
    """Return how steady sound differs from the nearest mode, for the user."""
    median_db = float(np.median(difference))
    side = "louder" if median_db > 0 else "quieter"
    return (
        f"a state that was not learned: steady sound, in most octaves {abs(median_db):.0f} dB "
        f'{side} than "{nearest}"'
    )
