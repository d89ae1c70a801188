"""Plan of a stream: its length and the faults in it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asd_monitor.synthesis.faults import FaultContext, fault_component
from asd_monitor.synthesis.signals import DoubleArray
from asd_offline.synth.timeline.onset import ONSETS

STREAM_NORMAL_S = 3600.0
"""Streams have up to about an hour of normal sound each."""
QUIET_FRACTION = 1 / 6
"""The first part of the normal sound of a stream has no fault in between."""
MIN_GAP_S = 600.0
"""Normal sound after every fault, so that an alarm clears before the next one: some rules look
back on ten minutes."""
HEADER = "start_s,end_s,label,level_db,onset\n"


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """A fault in a stream."""

    start_s: float
    end_s: float
    kind: str
    level_db: float
    onset: str
    seed: tuple[int, ...]

    def component(
        self, sound: DoubleArray, sample_rate_hz: int, shaft_hz: float, start_s: float
    ) -> DoubleArray:
        """Return what the fault adds to a block of sound, ``(n,)``.

        Its random properties, such as frequencies, are the same in all blocks.

        Parameters
        ----------
        sound
            ``(n,)``, the machine's sound without the fault.
        sample_rate_hz
            Sample rate.
        shaft_hz
            Revolutions or strokes per second.
        start_s
            Start of the block in the stream.
        """
        time_s = start_s - self.start_s + np.arange(sound.size) / sample_rate_hz
        duration_s = self.end_s - self.start_s
        if time_s[-1] <= 0 or time_s[0] >= duration_s:
            return np.zeros(sound.size)
        gain = ONSETS[self.onset](time_s, duration_s, np.random.default_rng((*self.seed, 1)))
        rng = np.random.default_rng((*self.seed, 2))
        context = FaultContext(sound, sample_rate_hz, shaft_hz, self.level_db, rng)
        component, _ = fault_component(self.kind, context)
        return np.asarray(component * gain)


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """Length and faults of a stream."""

    name: str
    duration_s: float
    faults: tuple[FaultEvent, ...]
    seed: tuple[int, ...]

    @property
    def labels(self) -> str:
        """The labels as CSV."""
        rows = (
            f"{fault.start_s:.1f},{fault.end_s:.1f},{fault.kind},{fault.level_db:g},{fault.onset}\n"
            for fault in self.faults
        )
        return HEADER + "".join(rows)


def plan_streams(
    normal_s: float,
    fault_s: float,
    cases: Sequence[tuple[str, float, str]],
    seed: tuple[int, ...],
) -> list[StreamPlan]:
    """Distribute faults over streams, after and between normal sound.

    Parameters
    ----------
    normal_s
        Normal sound of all streams.
    fault_s
        Duration of a fault.
    cases
        Kind, level in dB and onset of each fault. They are shuffled; as many are used as there is
        room for, with at least :data:`MIN_GAP_S` of normal sound after each.
    seed
        Of all random numbers.
    """
    rng = np.random.default_rng((*seed, 3))
    shuffled = [cases[index] for index in rng.permutation(len(cases))]
    count = math.ceil(normal_s / STREAM_NORMAL_S)
    stream_s = normal_s / count
    quiet_s = QUIET_FRACTION * stream_s
    room = max(1, int((stream_s - quiet_s) / MIN_GAP_S))
    return [
        _plan_stream(
            f"stream_{index:02d}",
            (quiet_s, stream_s - quiet_s),
            fault_s,
            shuffled[index::count][:room],
            (*seed, index),
        )
        for index in range(count)
    ]


def _plan_stream(
    name: str,
    normal_s: tuple[float, float],
    fault_s: float,
    cases: Sequence[tuple[str, float, str]],
    seed: tuple[int, ...],
) -> StreamPlan:
    quiet_s, rest_s = normal_s
    gap_s = rest_s / max(1, len(cases))
    faults = []
    for number, (kind, level_db, onset) in enumerate(cases):
        start_s = round(quiet_s + number * (fault_s + gap_s), 1)
        faults.append(
            FaultEvent(start_s, start_s + fault_s, kind, level_db, onset, (*seed, number))
        )
    duration_s = quiet_s + rest_s + len(cases) * fault_s
    return StreamPlan(name, duration_s, tuple(faults), seed)
