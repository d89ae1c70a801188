"""Changes that are no faults: gain, equalisation, speed, and sounds of the surroundings.

Recordings of one machine are learned. The others are joined to streams, changed, and played: the
alarm should not report a fault, and should still find recorded faults while the gain is changed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import soxr
from scipy.signal import firwin2, oaconvolve

from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.quickstart import Recording
from asd_monitor.records import FloatArray, State
from asd_offline.benchmarks.timelines.fitted import SAMPLE_RATE_HZ, FittedMachine
from asd_offline.benchmarks.timelines.recordings import Clips
from asd_offline.synth.timeline.disturbances import DISTURBANCES
from asd_offline.timeline.trace import Trace

LEAD_S = 60
STREAM_S = 300
"""Length of the changed sound."""
COLUMNS = (
    "streams",
    "alarms of the sound",
    "first alarm",
    "level events",
    "recorded faults within 60 s",
    "300 s",
)

Change = Callable[[FloatArray, np.random.Generator], FloatArray]


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """Result of one stream."""

    change: str
    alarm_s: float | None
    """From the start of the change to the first alarm of another rule than ``level``."""
    level_event_s: float | None
    """From the start of the change to the first event of the rule ``level``."""
    fault_s: float | None
    """From the start of a recorded fault under the change to an alarm."""
    has_fault: bool


def gain(db: float) -> Change:
    """Return a change of gain."""
    return lambda sound, _: sound * np.float32(10 ** (db / 20))


def equalise(db: float) -> Change:
    """Return a tilt of the spectrum: from ``-db`` below 200 Hz to ``db`` above 5 kHz."""
    levels = 10 ** (np.array([-db, -db, db, db]) / 20)
    taps = firwin2(2049, [0, 200, 5000, SAMPLE_RATE_HZ / 2], levels, fs=SAMPLE_RATE_HZ)
    return lambda sound, _: oaconvolve(sound, taps, mode="same").astype(np.float32)


def speed(percent: float) -> Change:
    """Return a change of speed: all frequencies rise by the same factor."""
    rate = 1 + percent / 100
    return lambda sound, _: soxr.resample(sound, rate, 1.0, quality="VHQ")


def disturb(kind: str, level_db: float, duration_s: float, every_s: float) -> Change:
    """Return a sound of the surroundings that is added again and again.

    Parameters
    ----------
    kind
        One of ``DISTURBANCES``.
    level_db
        RMS while it lasts, relative to the machine.
    duration_s
        Of each occurrence.
    every_s
        Time between the starts of two of them.
    """

    def add(sound: FloatArray, rng: np.random.Generator) -> FloatArray:
        changed = sound.astype(np.float64)
        size, period = (round(s * SAMPLE_RATE_HZ) for s in (duration_s, every_s))
        for start in range(0, len(sound) - size + 1, period):
            made = DISTURBANCES[kind](size, SAMPLE_RATE_HZ, rng)
            scale = float(np.std(sound)) * 10 ** (level_db / 20) / float(np.std(made))
            changed[start : start + size] += scale * made
        return changed.astype(np.float32)

    return add


def neighbour(level_db: float) -> Change:
    """Return a pump that starts nearby and continues."""

    def add(sound: FloatArray, rng: np.random.Generator) -> FloatArray:
        pump = PumpSound(int(rng.integers(1 << 30)), SAMPLE_RATE_HZ).block(0, len(sound))
        scale = float(np.std(sound)) * 10 ** (level_db / 20) / float(np.std(pump))
        return (sound + scale * pump).astype(np.float32)

    return add


CHANGES: dict[str, Change] = {
    "none": gain(0.0),
    "gain -6 dB": gain(-6.0),
    "gain -3 dB": gain(-3.0),
    "gain +3 dB": gain(3.0),
    "gain +6 dB": gain(6.0),
    "tilt of 3 dB": equalise(1.5),
    "tilt of 6 dB": equalise(3.0),
    "2 % slower": speed(2.0),
    "2 % faster": speed(-2.0),
    "speech, -10 dB, 10 s, twice": disturb("speech", -10.0, 10.0, 150.0),
    "speech, 0 dB, 10 s, twice": disturb("speech", 0.0, 10.0, 150.0),
    "speech, 0 dB, 25 s, twice": disturb("speech", 0.0, 25.0, 150.0),
    "truck, 0 dB, 30 s, twice": disturb("vehicle", 0.0, 30.0, 150.0),
    "hammer, 0 dB, 3 s, twice": disturb("knocks", 0.0, 3.0, 150.0),
    "another pump, 0 dB, continuous": neighbour(0.0),
}
GAINS = ("none", "gain -6 dB", "gain -3 dB", "gain +3 dB", "gain +6 dB")
"""Recorded faults are played with these changes."""


def measure_changes(clips: Clips, learn_clips: int, seed: int) -> Iterator[ChangeOutcome]:
    """Learn some recordings, drawn by the seed, and yield the result of every change."""
    rng = np.random.default_rng([seed, learn_clips])
    order = [int(index) for index in rng.permutation(len(clips.normal))]
    learned, rest = order[:learn_clips], order[learn_clips:]
    machine = FittedMachine([Recording(str(index), clips.normal[index]) for index in learned])
    unseen = [clips.normal[index] for index in rest]
    lead, normal = _join(unseen, LEAD_S, rng), _join(unseen, STREAM_S, rng)
    lead_scores = machine.score(lead)
    for number, (name, change) in enumerate(CHANGES.items()):
        noise = np.random.default_rng([seed, number])
        parts = [lead_scores, machine.score(change(normal, noise))]
        trace = machine.trace(parts)
        fault_s, has_fault = None, bool(clips.faulty) and name in GAINS
        if has_fault:
            faulty = _join(clips.faulty, STREAM_S, np.random.default_rng([seed, 1]))
            parts = [machine.score(change(sound, noise)) for sound in (lead, faulty)]
            fault_s = _first(machine.trace(parts), lambda rule, state: state is State.ALARM)
        yield ChangeOutcome(
            name,
            _first(trace, lambda rule, state: rule != "level" and state is State.ALARM),
            _first(trace, lambda rule, state: rule == "level"),
            fault_s,
            has_fault,
        )


def cells(outcomes: list[ChangeOutcome]) -> list[str]:
    """Return the cells under :data:`COLUMNS` for one change."""
    alarms = [outcome.alarm_s for outcome in outcomes if outcome.alarm_s is not None]
    levels = [outcome.level_event_s for outcome in outcomes if outcome.level_event_s is not None]
    found = [outcome.fault_s for outcome in outcomes if outcome.has_fault]
    first = f"{np.median(alarms):.0f} s" if alarms else "-"
    events = f"{len(levels)}, after {np.median(levels):.0f} s" if levels else "0"
    shares = [
        f"{sum(s is not None and s <= limit for s in found) / len(found):.0%}" if found else "-"
        for limit in (60, 300)
    ]
    return [str(len(outcomes)), str(len(alarms)), first, events, *shares]


def _join(
    sounds: "list[FloatArray] | tuple[FloatArray, ...]", duration_s: int, rng: np.random.Generator
) -> FloatArray:
    """Return sounds in random order, joined to a stream."""
    joined: list[FloatArray] = []
    needed = duration_s * SAMPLE_RATE_HZ
    for index in cycle(rng.permutation(len(sounds)).tolist()):
        joined.append(sounds[index])
        if sum(map(len, joined)) >= needed:
            return np.concatenate(joined)[:needed]
    raise AssertionError


def _first(trace: Trace, applies: Callable[[str, State], bool]) -> float | None:
    """Return when, after the lead, the machine first enters a state; None if never."""
    starts_s = (
        period.start_s - LEAD_S
        for period in trace.periods
        if period.start_s > LEAD_S and applies(period.rule, period.state)
    )
    return next(starts_s, None)
