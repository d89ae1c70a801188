"""Divide a machine's normal sound into parts to inject faults into, and sound to learn from.

The model in use was fitted to all recordings, and sound that it knows would look more normal than
sound to come. Every trial therefore has a stretch of sound that is held out, and a model that is
fitted again without it and without the sound next to it, which is nearly identical.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from asd_monitor.detectability.result import MIN_SOUND_S
from asd_monitor.quickstart.training_windows import GUARD_S, MAX_GUARD_FRACTION, Recording

TRIALS = 5
HELD_OUT_S = 60.0
"""Length of a stretch that is held out, at most."""
PART_S = 10.0
"""Recordings are cut into parts of this length."""
SHARED_FIT_S = 1800.0
"""From this much sound on, the stretches of all trials are left out of one common fit."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Sound of one trial."""

    held_out: tuple[Recording, ...]
    learned: tuple[Recording, ...]
    """The same object in all trials where the fit is shared."""


def plan_trials(recordings: Sequence[Recording], sample_rate_hz: int) -> list[Trial]:
    """Return trials with stretches that are spread over the sound.

    Parameters
    ----------
    recordings
        Normal sound, in order of time.
    sample_rate_hz
        Its sample rate.

    Returns
    -------
    list of Trial
        Empty with less than ``MIN_SOUND_S`` of sound.
    """
    parts = [part for each in recordings for part in _cut(each, sample_rate_hz)]
    total_s = sum(len(part.samples) for part in parts) / sample_rate_hz
    if total_s < MIN_SOUND_S or len(parts) < TRIALS:
        return []
    stretches = [
        _take_middle(parts[number * len(parts) // TRIALS : (number + 1) * len(parts) // TRIALS],
                     sample_rate_hz)
        for number in range(TRIALS)
    ]  # fmt: skip
    guard_s = _choose_guard(parts, sample_rate_hz)
    if total_s >= SHARED_FIT_S:
        held_out = [part for stretch in stretches for part in stretch]
        learned = _leave_out(parts, held_out, guard_s, sample_rate_hz)
        return [Trial(tuple(stretch), learned) for stretch in stretches]
    return [
        Trial(tuple(stretch), _leave_out(parts, stretch, guard_s, sample_rate_hz))
        for stretch in stretches
    ]


def _cut(recording: Recording, sample_rate_hz: int) -> list[Recording]:
    """Return the parts of a recording; a short rest belongs to the last one."""
    size = round(PART_S * sample_rate_hz)
    count = max(1, len(recording.samples) // size)
    if count == 1:
        return [recording]
    session = recording.session or recording.name
    ends = [*(size * number for number in range(1, count)), len(recording.samples)]
    return [
        replace(
            recording,
            name=f"{recording.name}#{number}",
            samples=recording.samples[size * number : end],
            session=session,
            start_s=recording.start_s + size * number / sample_rate_hz,
        )
        for number, end in enumerate(ends)
    ]


def _take_middle(parts: Sequence[Recording], sample_rate_hz: int) -> list[Recording]:
    """Return consecutive parts of at most ``HELD_OUT_S`` in all, at least one."""
    count = len(parts)
    while count > 1:
        first = (len(parts) - count) // 2
        chosen = parts[first : first + count]
        if sum(len(part.samples) for part in chosen) <= HELD_OUT_S * sample_rate_hz:
            return list(chosen)
        count -= 1
    return [parts[len(parts) // 2]]


def _choose_guard(parts: Sequence[Recording], sample_rate_hz: int) -> float:
    """Return the distance in time within which sound is nearly identical, as for a fit."""
    sessions = {part.session for part in parts}
    if len(sessions) > 2:
        return GUARD_S
    spans_s = [
        max(
            part.start_s + len(part.samples) / sample_rate_hz for part in parts if part.session == s
        )
        - min(part.start_s for part in parts if part.session == s)
        for s in sessions
    ]
    return min(GUARD_S, MAX_GUARD_FRACTION * max(spans_s))


def _leave_out(
    parts: Sequence[Recording], held_out: Sequence[Recording], guard_s: float, sample_rate_hz: int
) -> tuple[Recording, ...]:
    """Return the parts that are neither held out nor close to one that is."""

    def is_close(part: Recording, other: Recording) -> bool:
        if part is other:
            return True
        if not part.session or part.session != other.session:
            return False
        first, second = sorted((part, other), key=lambda one: one.start_s)
        end_s = first.start_s + len(first.samples) / sample_rate_hz
        return second.start_s - end_s < guard_s

    return tuple(part for part in parts if not any(is_close(part, other) for other in held_out))
