"""Fit calibration and voices again to a longer sample of normal sound, within bounds.

The longer sample is collected without a person, so it may contain a fault that grows slowly. What a
machine sounded like at commissioning therefore limits what may be learned from it.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.alarm_rate import BOUTS_FOR_ALARM
from asd_monitor.calibration.blocks import Blocks, block_windows, count_effective_windows
from asd_monitor.calibration.calibration import Calibration
from asd_monitor.calibration.false_alarm_limits import (
    FalseAlarmLimit,
    draw_chains,
    fit_limit,
    largest_in_chains,
)
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.calibration.voices import (
    FEW_BLOCKS,
    NOTABLE_P,
    VoiceStatistics,
    fit_counted_limit,
    fit_evidence_limit,
)

MAX_CENTRE_SHIFT = 0.5
"""The centre of a voice moves by at most this many scales of commissioning, all extensions taken
together."""
MAX_WIDENING = 1.5
"""Scales become at most this many times as large as at commissioning."""
MAX_LIMIT_WIDENING = 4.0
"""Limits of evidence become at most this many times as large. A few minutes of sound contain no
excursion of the length that an hour contains, so their limits may be far too low."""
MEAN_STRETCH_BLOCKS = 120
"""Mean length of the stretches that chains consist of: 20 minutes, because a longer sample shows
longer excursions."""
LOOK_BACK_BLOCKS = 6
"""Bouts over the threshold are counted over a minute."""
MIN_BLOCKS = 60
"""Fewer blocks do not replace those of commissioning: ten minutes."""
_BLOCKS_OF_BOUND = 1e6
"""Limits of evidence are bounded at this many blocks between false alarms."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a longer sample may change.

    Attributes
    ----------
    centre_shift
        In scales of commissioning.
    widening
        Factor of scales, and of the distance of the threshold from the median.
    limit_widening
        Factor of the limits of evidence.
    """

    centre_shift: float = MAX_CENTRE_SHIFT
    widening: float = MAX_WIDENING
    limit_widening: float = MAX_LIMIT_WIDENING


UNATTENDED = Bounds()
"""Without a person."""
CONFIRMED = Bounds(np.inf, np.inf, np.inf)
"""Where a person says that all of the sound is normal."""


def fit_voices(
    commissioned: VoiceStatistics,
    blocks: Blocks,
    scores: Values,
    bounds: Bounds = UNATTENDED,
) -> VoiceStatistics:
    """Fit the statistics of voices to the blocks of a longer sample.

    The scale is the root mean square deviation from the centre, so that a centre that is held back
    widens it. It is never less than that of commissioning without its allowance for few blocks: a
    machine is not taken to be steadier than it was known to be.

    Parameters
    ----------
    commissioned
        Statistics of commissioning.
    blocks
        Of the longer sample.
    scores
        ``(n, windows)``: fused scores of the windows of the same blocks.
    bounds
        What may change.
    """
    means = blocks.means
    # A longer sample shows slower changes; that makes it worth no less than commissioning.
    effective = max(
        blocks.first_voices(commissioned.combined).count_effective(), commissioned.effective_blocks
    )
    reach = bounds.centre_shift * commissioned.scale
    centre = np.clip(np.median(means, 0), commissioned.centre - reach, commissioned.centre + reach)
    spread = np.sqrt(np.mean((means - centre) ** 2, axis=0) * (1 + 1 / effective))
    smallest = commissioned.scale / (1 + FEW_BLOCKS / commissioned.effective_blocks)
    scale = np.maximum(spread * (1 + FEW_BLOCKS / effective), smallest)
    scale = np.minimum(scale, bounds.widening * commissioned.scale)
    chains = draw_chains(blocks.follows, mean_stretch_blocks=MEAN_STRETCH_BLOCKS)
    notable = _bounded_quantile(scores, commissioned.notable_score, bounds)
    moved = replace(commissioned, centre=centre, scale=scale)
    return replace(
        moved,
        blocks=len(blocks),
        effective_blocks=effective,
        evidence_limit=_bounded(
            fit_evidence_limit(moved.standardise(means), blocks.follows, chains),
            commissioned.evidence_limit,
            bounds,
        ),
        notable_score=notable,
        notable_limit=_bounded(
            fit_counted_limit(scores.max(1), notable, chains),
            commissioned.notable_limit,
            bounds,
        ),
    )


def _fit_minute_limit(blocks: Blocks, scores: Values, calibration: Calibration) -> FalseAlarmLimit:
    """Fit the threshold that three blocks of a minute exceed once in a given time.

    That they follow each other is taken from the sample: where sound wanders slowly, three of a
    minute are not independent, and a threshold from single windows would be too low.

    Parameters
    ----------
    blocks
        Of the sample.
    scores
        ``(n, windows)``: fused scores of the windows of these blocks.
    calibration
        Of the same scores.
    """
    highest = scores.max(1)
    chains = draw_chains(blocks.follows, mean_stretch_blocks=MEAN_STRETCH_BLOCKS)
    recent = np.full((LOOK_BACK_BLOCKS, chains.shape[1]), highest.min())
    third = LOOK_BACK_BLOCKS - BOUTS_FOR_ALARM
    step = 0

    def advance(indices: npt.NDArray[np.int64]) -> Values:
        nonlocal step
        recent[step % LOOK_BACK_BLOCKS] = highest[indices]
        step += 1
        return np.asarray(np.partition(recent, third, axis=0)[third])

    # Three independent exceedances of an exponential tail become rarer by this slope.
    min_slope = calibration.tail_scale / BOUTS_FOR_ALARM
    return fit_limit(largest_in_chains(chains, advance), float(highest.min()), min_slope)


def fit_calibration(
    blocks: Blocks, scores: Values, window_s: float, normal_range: NormalRange | None
) -> Calibration:
    """Fit a calibration to the fused scores of a longer sample.

    Parameters
    ----------
    blocks
        Of the sample.
    scores
        ``(n, windows)``: fused scores of the windows of these blocks.
    window_s
        Length of a window.
    normal_range
        Normal range of commissioning, whose level stays the highest one; None: no bound.
    """
    session = np.cumsum(~blocks.follows).repeat(scores.shape[1])
    start_s = np.arange(len(session)) * window_s
    assert scores.shape[1] == block_windows(window_s)  # noqa: S101 - as collected
    values = scores.ravel()
    fitted = NormalRange.fit(values, session, start_s, window_s)
    if normal_range is not None:
        highest = normal_range.level
        fitted = replace(fitted, level=min(fitted.level, highest))
    effective = count_effective_windows(values, session, start_s, window_s)
    calibration = Calibration.fit(values, fitted, effective)
    return replace(calibration, minute_limit=_fit_minute_limit(blocks, scores, calibration))


def _bounded(new: FalseAlarmLimit, old: FalseAlarmLimit, bounds: Bounds) -> FalseAlarmLimit:
    """Return a limit that is at most as much wider as allowed."""
    highest = bounds.limit_widening * old.at(_BLOCKS_OF_BOUND)
    found = new.at(_BLOCKS_OF_BOUND)
    if found <= highest or new.smallest >= found:
        return new
    part = highest / found
    return FalseAlarmLimit(new.base * part, new.slope * part, new.smallest)


def _bounded_quantile(scores: Values, commissioned: float, bounds: Bounds) -> float:
    """Return the notable score, whose distance from the median grows by at most the bound."""
    middle = float(np.median(scores))
    highest = middle + bounds.widening * max(commissioned - middle, 0.0)
    found = float(np.quantile(scores, 1 - NOTABLE_P))
    return found if np.isinf(bounds.widening) else min(found, highest)
