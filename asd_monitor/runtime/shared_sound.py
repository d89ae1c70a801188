"""Find the microphone in which a change of sound is strongest.

Where the sound of a machine becomes unusual, the change of its octaves since then is compared with
the change in the microphones of the other machines during the same time. The levels before are
those of each microphone, so neither gains nor how loud the machines are matters.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from asd_monitor.detection.passing.classifier import NOTABLE_P
from asd_monitor.modes.profile import window_profile
from asd_monitor.records import Window, WindowScore

KEPT_S = 480.0
BEFORE_S = 60.0
"""Sound before the change, ..."""
MIN_BEFORE_S = 10.0
"""... of which at least this much is needed, ..."""
GUARD_S = 2.0
"""... without its last seconds, in which the change may have begun."""
NOW_S = 8.0
"""The sound of this time is compared with that before the change."""
END_S = 20.0
"""A change has ended after this time without an unusual window."""
MIN_CHANGE_DB = 2.0
"""Change of an octave that is compared."""
STRONGER_DB = 3.0
"""The change comes from elsewhere where it is this much stronger there ..."""
MIN_SHARED = 0.8
"""... in octaves that contain this fraction of its power here."""

Profile = npt.NDArray[np.float64]


@dataclass(slots=True)
class _Microphone:
    sample_rate_hz: int
    profiles: deque[tuple[float, Profile]] = field(default_factory=deque)
    """Times of capture and octaves of windows."""
    began_at: float | None = None
    """When the present change began; None without one."""
    notable_at: float = 0.0

    def median(self, from_s: float, to_s: float) -> Profile | None:
        """Return the median octaves in a span of time; None without a window in it."""
        inside = [profile for at, profile in self.profiles if from_s <= at <= to_s]
        return np.median(inside, axis=0) if inside else None


class SharedSound:
    """Compare changes of sound between microphones. Used by one thread."""

    def __init__(self) -> None:
        self._microphones: dict[str, _Microphone] = {}

    def attribute(
        self,
        window: Window,
        score: WindowScore,
        sample_rate_hz: int,
        is_running: Callable[[str], bool],
    ) -> WindowScore:
        """Return the score, with the machine from which its unusual sound comes, if any.

        Parameters
        ----------
        window
            The window that was scored.
        score
            Its score.
        sample_rate_hz
            Its sample rate.
        is_running
            Whether a machine may be the origin: not one that is off or not scored.
        """
        own = self._microphones.get(window.machine)
        if own is None or own.sample_rate_hz != sample_rate_hz:
            own = self._microphones[window.machine] = _Microphone(sample_rate_hz)
        at = window.captured_at
        if own.profiles and at < own.profiles[-1][0]:  # the clock was set back
            own.profiles.clear()
            own.began_at = None
        profile = score.octaves_db
        if profile is None:
            profile = window_profile(window.samples, sample_rate_hz)
        own.profiles.append((at, profile))
        while own.profiles[0][0] < at - KEPT_S:
            own.profiles.popleft()
        if own.began_at is not None and at - own.notable_at > END_S:
            own.began_at = None
        if score.p_value is None or score.p_value >= NOTABLE_P:
            return score
        own.notable_at = at
        if own.began_at is None:
            own.began_at = at - len(window.samples) / sample_rate_hz
        found = self._find_origin(window.machine, own, own.began_at, at, is_running)
        return score if found is None else replace(score, elsewhere=found)

    def forget(self, machine: str) -> None:
        """Forget a machine that is no longer monitored."""
        self._microphones.pop(machine, None)

    def _find_origin(
        self,
        machine: str,
        own: _Microphone,
        began_at: float,
        at: float,
        is_running: Callable[[str], bool],
    ) -> str | None:
        """Return in which microphone the change is stronger, for the user; None for none."""
        here = _changes(own, began_at, at)
        if here is None:
            return None
        strongest, name = STRONGER_DB, ""
        for other, microphone in self._microphones.items():
            if other == machine or not is_running(other):
                continue
            there = _changes(microphone, began_at, at)
            difference_db = None if there is None else _compare(here, there)
            if difference_db is not None and difference_db >= strongest:
                strongest, name = difference_db, other
        return f"{strongest:.0f} dB stronger in the microphone of {name}" if name else None


def _changes(microphone: _Microphone, began_at: float, at: float) -> tuple[Profile, Profile] | None:
    """Return the median octaves before a change and now; None where too few are known."""
    until = began_at - GUARD_S
    if not microphone.profiles or microphone.profiles[0][0] > until - MIN_BEFORE_S:
        return None
    before = microphone.median(until - BEFORE_S, until)
    now = microphone.median(max(began_at, at - NOW_S), at)
    return None if before is None or now is None else (before, now)


def _compare(here: tuple[Profile, Profile], there: tuple[Profile, Profile]) -> float | None:
    """Return by how many dB a change here is stronger there; None where it is another one."""
    octaves = min(len(here[0]), len(there[0]))
    before, now = (profile[:octaves] for profile in here)
    change_db = now - before
    change_there_db = (there[1] - there[0])[:octaves]
    added = np.where(change_db >= MIN_CHANGE_DB, 10 ** (now / 10) - 10 ** (before / 10), 0.0)
    total = float(added.sum())
    if total <= 0.0:
        return None
    weights = added / total
    stronger = change_there_db >= change_db + STRONGER_DB
    if float(weights[stronger].sum()) < MIN_SHARED:
        return None
    return float(weights @ (change_there_db - change_db))
