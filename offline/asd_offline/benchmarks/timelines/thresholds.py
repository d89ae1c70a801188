"""How often normal recordings that were not learned exceed the threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asd_monitor.calibration.alarm_rate import FALSE_ALARMS_PER_MONTH, exceedance_probability
from asd_monitor.quickstart import Recording
from asd_offline.benchmarks.timelines.fitted import FittedMachine
from asd_offline.benchmarks.timelines.recordings import Clips, draw_split

COLUMNS = (
    "windows learned",
    "threshold",
    "asked for",
    "unseen windows above it",
    "unseen recordings with three or more",
)


@dataclass(frozen=True, slots=True)
class Exceedances:
    """Result of one split."""

    learned_windows: int
    threshold: float
    asked: float
    """Part of the windows of normal sound that may exceed the threshold."""
    exceeded: tuple[int, ...]
    """Windows above the threshold, in each recording."""
    windows: int


def measure_split(clips: Clips, learn_clips: int, seed: int) -> Exceedances:
    """Learn some normal recordings, drawn by the seed, and score the others."""
    learned, rest, _ = draw_split(clips, learn_clips, seed)
    machine = FittedMachine([Recording(str(index), clips.normal[index]) for index in learned])
    threshold = machine.rule.threshold
    assert threshold is not None  # noqa: S101 - the quick start has a threshold
    parts = [machine.score(clips.normal[index]) for index in rest]
    values = [[score.value for score in part.scores if score.value is not None] for part in parts]
    size = machine.rule.window_samples
    return Exceedances(
        sum(len(clips.normal[index]) // size for index in learned),
        threshold,
        exceedance_probability(FALSE_ALARMS_PER_MONTH, machine.rule.window_s),
        tuple(sum(value > threshold for value in row) for row in values),
        sum(map(len, values)),
    )


def cells(splits: Sequence[Exceedances]) -> list[str]:
    """Return the cells under :data:`COLUMNS`."""
    exceeded = [count for split in splits for count in split.exceeded]
    above = sum(exceeded) / sum(split.windows for split in splits)
    return [
        f"{np.median([split.learned_windows for split in splits]):.0f}",
        f"{np.median([split.threshold for split in splits]):.1f}",
        f"{splits[0].asked:.4f}",
        f"{above:.4f}",
        f"{sum(count >= 3 for count in exceeded)} of {len(exceeded)}",
    ]
