"""Whether faults are detected in new recordings as the measurement after learning predicts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from asd_monitor.detectability.measure import measure
from asd_monitor.detectability.result import LIMITS_S, Detectability, FaultLevels
from asd_monitor.detectability.stream import SHAFT_HZ
from asd_monitor.quickstart import Recording, fit
from asd_monitor.records import FloatArray
from asd_offline.benchmarks.timelines.fitted import SAMPLE_RATE_HZ, TARGET, FittedMachine, Part
from asd_offline.benchmarks.timelines.recordings import (
    Clips,
    InjectedFault,
    draw_split,
    play_fault,
)
from asd_offline.synth.seeds import derive_seed

OFFSETS_DB = (6.0, 0.0, -6.0)
"""Levels that are played, relative to the predicted one."""
REPEATS = 2
"""Streams for each kind, time and level, each with another fault."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fault in recordings that were not learned."""

    kind: str
    limit_s: int
    offset_db: float
    """Its level, relative to the lowest one that is predicted to be detected in this time."""
    detected: bool


def measure_split(clips: Clips, learn_clips: int, seed: int) -> tuple[Detectability, list[Outcome]]:
    """Learn some recordings, predict what can be detected, and play faults in the others."""
    learned, rest, _ = draw_split(clips, learn_clips, seed)
    recordings = [Recording(str(index), clips.normal[index]) for index in learned]
    manifest = fit(recordings, target=TARGET, sample_rate_hz=SAMPLE_RATE_HZ).manifest
    predicted = measure(recordings, manifest, "")
    machine = FittedMachine(recordings)
    unseen = [clips.normal[index] for index in rest]
    normal = [machine.score(sound) for sound in unseen]
    outcomes = [
        outcome
        for fault in predicted.faults
        for limit_s in LIMITS_S
        for outcome in _play(machine, unseen, normal, fault, limit_s, seed)
    ]
    return predicted, outcomes


def _play(
    machine: FittedMachine,
    unseen: Sequence[FloatArray],
    normal: Sequence[Part],
    fault: FaultLevels,
    limit_s: int,
    seed: int,
) -> Iterator[Outcome]:
    predicted_db = fault.detected_db(limit_s)
    if predicted_db is None:
        return
    for offset_db in OFFSETS_DB:
        level_db = predicted_db + offset_db
        if level_db > fault.levels_db[0]:
            continue
        for repeat in range(REPEATS):
            fault_seed = [seed, derive_seed(fault.kind, repeat), limit_s]
            shaft_hz = float(np.random.default_rng(fault_seed).uniform(*SHAFT_HZ))
            injected = InjectedFault(fault.kind, level_db, shaft_hz, fault_seed)
            stream = play_fault(machine, unseen, normal, injected, float(limit_s))
            (played,) = stream.faults
            detected = played.delay_s is not None and played.delay_s <= limit_s
            yield Outcome(fault.kind, limit_s, offset_db, detected)


def describe_shares(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of a table: time, then the share detected at each offset."""
    for limit_s in LIMITS_S:
        cells = []
        for offset_db in OFFSETS_DB:
            found = [
                one.detected
                for one in outcomes
                if (one.limit_s, one.offset_db) == (limit_s, offset_db)
            ]
            share = f"{100 * sum(found) / len(found):.0f} % of {len(found)}" if found else "-"
            cells.append(share)
        yield f"{limit_s} s", *cells
