"""Play held-out sound, first without and then with a fault, through the rules of the alarm."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np
import numpy.typing as npt

from asd_monitor.audio.windowing import clip_windows
from asd_monitor.detectability.result import LIMITS_S
from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.detector import Detector
from asd_monitor.errors import ConfigError
from asd_monitor.modes.learned import LearnedModes
from asd_monitor.modes.profile import window_profile
from asd_monitor.modes.tracker import ModeTracker
from asd_monitor.quickstart import Recording
from asd_monitor.records import FloatArray, State, Window, WindowScore
from asd_monitor.synthesis.faults import FaultContext, add_fault

LEAD_S = 60.0
"""Normal sound before a fault begins."""
SHAFT_HZ = (12.0, 30.0)
"""Assumed revolutions per second; another one in each stream."""


@dataclass(frozen=True, slots=True)
class ScoredSound:
    """Adjacent windows of a recording; their scores are not yet adjusted to a mode."""

    scores: Sequence[WindowScore]
    profiles: Sequence[npt.NDArray[np.float64]]


class Stream:
    """A minute of held-out sound, then five minutes of it with a fault, in random order.

    Parameters
    ----------
    detector
        Of a model without modes, which depend on the order of the sound.
    target
        The target of the model.
    modes
        Modes of the machine; None: it has none.
    alarm
        When alarms are raised.
    held_out
        Sound that the model does not know.
    rng
        Draws the order of the recordings and the rotation rate.
    """

    def __init__(
        self,
        detector: Detector,
        target: str,
        modes: LearnedModes | None,
        alarm: AlarmSettings,
        held_out: Sequence[Recording],
        rng: np.random.Generator,
    ) -> None:
        self._detector, self._target, self._settings = detector, target, alarm
        self._modes = modes
        self._rule = detector.rule(target)
        self._sounds = [np.asarray(each.samples, np.float32) for each in held_out]
        self._shaft_hz = float(rng.uniform(*SHAFT_HZ))
        self._order = [int(index) for _ in range(64) for index in rng.permutation(len(held_out))]
        self._normal = [self._score(sound) for sound in self._sounds]
        if not any(sound.scores for sound in self._normal):
            raise ConfigError(
                f"expected recordings of at least one window of {self._rule.window_s:g} s"
            )

    def normal(self, number: int) -> ScoredSound:
        """Return a recording without a fault."""
        return self._normal[number]

    def make_faulty(
        self, kind: str, level_db: float, seed: tuple[int, ...]
    ) -> Callable[[int], ScoredSound]:
        """Return a function that returns a recording with a fault.

        The fault is computed when it is needed, and once for each recording. It has the same seed,
        and so the same frequencies, in all of them and at every level.
        """
        known: dict[int, ScoredSound] = {}

        def inject(number: int) -> ScoredSound:
            if number not in known:
                sound = self._sounds[number].astype(np.float64)
                rng = np.random.default_rng(seed)
                rate_hz = self._rule.sample_rate_hz
                context = FaultContext(sound, rate_hz, self._shaft_hz, level_db, rng)
                faulty = np.clip(add_fault(kind, context).sound, -1.0, 1.0)
                known[number] = self._score(faulty.astype(np.float32))
            return known[number]

        return inject

    def find_delay_s(self, faulty: Callable[[int], ScoredSound]) -> float | None:
        """Return how long after the begin of a fault the alarm is raised; None if it is not.

        An alarm before that counts as a delay of 0.
        """
        size, rate_hz = self._rule.window_samples, self._rule.sample_rate_hz
        alarm = Alarm(self._target, self._settings, "detectability")
        alarm.configure(self._rule, 0.0)
        tracker = None if self._modes is None else ModeTracker(self._modes, size, rate_hz)
        begin = round(LEAD_S * rate_hz / size) * size
        end = begin + round(LIMITS_S[-1] * rate_hz)
        for score, profile in self._play(faulty, begin, end):
            placed = score if tracker is None else tracker.adjust(score, profile)
            decision, _ = alarm.update(placed)
            if decision.state is State.ALARM:
                return max(0.0, (placed.window_start + size - begin) / rate_hz)
        return None

    def _play(
        self, faulty: Callable[[int], ScoredSound], begin: int, end: int
    ) -> Iterator[tuple[WindowScore, npt.NDArray[np.float64]]]:
        """Yield adjacent windows: normal ones up to ``begin``, then those with the fault."""
        size, start = self._rule.window_samples, 0
        sound_of: Callable[[int], ScoredSound] = self.normal
        for number in cycle(self._order):
            sound = sound_of(number)
            for score, profile in zip(sound.scores, sound.profiles, strict=True):
                if start + size > end:
                    return
                yield replace(score, window_start=start), profile
                start += size
                if start == begin:
                    sound_of = faulty
                    break

    def _score(self, samples: FloatArray) -> ScoredSound:
        """Score adjacent windows: the alarm uses no others."""
        size, rate_hz = self._rule.window_samples, self._rule.sample_rate_hz
        windows = [
            Window(self._target, row, index * size, (index + 1) * size / rate_hz)
            for index, row in enumerate(clip_windows(samples, size, size))
        ]
        profiles = [
            window_profile(window.samples, rate_hz) if self._modes else np.empty(0)
            for window in windows
        ]
        return ScoredSound(self._detector.score(windows), profiles)
