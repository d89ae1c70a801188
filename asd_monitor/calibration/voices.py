"""Voices: the separate log scores from which a model fuses its score, and their normal range.

A fault that is small in every window still raises the mean of at least one voice, block after
block. :class:`VoiceStatistics` describes the blocks of normal sound, so that
:mod:`asd_monitor.detection.sequential` can decide how much of a rise is too much.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.blocks import Blocks, Matrix, cut_blocks, log_mean_exp
from asd_monitor.calibration.false_alarm_limits import (
    MEAN_STRETCH_BLOCKS,
    FalseAlarmLimit,
    draw_chains,
    fit_limit,
    largest_in_chains,
    upper_tail,
)
from asd_monitor.calibration.normal_range import is_number

SLACK = 1.5
"""Standard deviations by which a block must exceed the centre to count as evidence."""
MAX_DEVIATION = 4.0
"""A block counts for no more than this: one bout of a passing sound is one piece of evidence."""
MIN_LIMIT = 6.0
"""Smallest limit of the evidence: at least three blocks."""
MIN_BLOCKS = 4
"""With fewer blocks of normal sound there is no sequential test."""
MIN_SCALE = 0.01
MIN_WINDOW_FRACTION = 0.3
"""The scale of a block is at least this fraction of that of a window."""
FEW_BLOCKS = 5.0
"""Scales are increased by the factor ``1 + FEW_BLOCKS / blocks``."""
NOTABLE_P = 0.01
"""A window of normal sound is notable with this probability."""
COUNTED_BLOCKS = 60
"""Number of blocks among which those with notable windows are counted: ten minutes."""
MIN_NOTABLE_BLOCKS = 5
INDEPENDENT_COUNTS = 20.0
"""Counts of blocks that are this far apart are taken as independent."""
TIMES_PER_STRETCH = 10.0
"""Chains consist of stretches that are this many correlation times long on average."""
COMBINED = ("all voices together", "strongest voice")
"""Statistics of the combined voices that are tested like voices where there are several."""

_COMMON = (0.1, 0.2)
"""Parts of the blocks from which clustering is measured, besides the notable ones."""
_RARITIES = (1e4, 1e6)
"""Blocks between false alarms at which the limit of the count is computed."""


@dataclass(frozen=True, slots=True, eq=False)
class VoiceStatistics:
    """Voices of held-out normal sound, block by block, and limits for their evidence.

    Attributes
    ----------
    names
        Of the voices, at least one.
    centre, scale
        ``(voices,)``: median of the blocks' log scores, and standard deviation with allowances
        for few blocks; ``scale`` > 0.
    blocks, effective_blocks
        Number of blocks of normal sound, and the number of independent ones they are worth.
    evidence_limit
        Of the sequential test.
    notable_score
        A window with a higher fused score is notable.
    notable_limit
        Of the number of blocks with notable windows among the last ``COUNTED_BLOCKS``.
    combined
        Number of the first voices that ``COMBINED`` are computed from; the others are tested
        singly. None: all.
    """

    names: tuple[str, ...]
    centre: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    blocks: int
    effective_blocks: float
    evidence_limit: FalseAlarmLimit
    notable_score: float
    notable_limit: FalseAlarmLimit
    combined: int | None = None

    @property
    def supported_blocks(self) -> float:
        """Longest time between false alarms, in blocks, that the normal sound can support.

        A new block exceeds all ``n`` known ones with probability ``1 / (n + 1)``, and an alarm
        needs at least three such blocks.
        """
        return float((self.effective_blocks + 1.0) ** 3)

    @property
    def tested_names(self) -> tuple[str, ...]:
        """Names of the voices, and of the combinations of them, that are tested."""
        return (*self.names, *COMBINED) if len(self.names) > 1 else self.names

    def standardise(self, means: Matrix) -> Matrix:
        """Return the deviations ``(..., tested voices)`` of log scores ``(..., voices)``."""
        return _deviations(means, self.centre, self.scale, self.combined)

    @classmethod
    def fit(
        cls,
        names: Sequence[str],
        voices: npt.ArrayLike,
        scores: npt.ArrayLike,
        sessions: npt.ArrayLike,
        start_s: npt.ArrayLike,
        window_s: float,
        min_scale: npt.ArrayLike = MIN_SCALE,
        combined: int | None = None,
    ) -> Self | None:
        """Fit to held-out scores of normal sound.

        Parameters
        ----------
        names
            Of the voices.
        voices
            ``(n, voices)`` log scores of windows that do not overlap; finite.
        scores
            ``(n,)`` fused scores of the same windows; finite.
        sessions, start_s, window_s
            As for :func:`~asd_monitor.calibration.blocks.cut_blocks`.
        min_scale
            Smallest scale of each voice, a number or ``(voices,)``.
        combined
            As the attribute.

        Returns
        -------
        VoiceStatistics or None
            None with fewer than ``MIN_BLOCKS`` blocks.
        """
        windows = np.asarray(voices, dtype=np.float64)
        fused = np.asarray(scores, dtype=np.float64)
        blocks = cut_blocks(windows, sessions, start_s, window_s)
        if len(blocks) < MIN_BLOCKS:
            return None
        smallest = np.maximum(min_scale, MIN_WINDOW_FRACTION * windows.std(0))
        effective = blocks.first_voices(combined).count_effective()
        centre, scale = _fit_scale(blocks.means, smallest, effective)
        stretch = max(MEAN_STRETCH_BLOCKS, TIMES_PER_STRETCH * len(blocks) / effective)
        chains = draw_chains(blocks.follows, mean_stretch_blocks=stretch)
        deviations = _leave_one_out(blocks, smallest, effective, combined)
        notable_score = float(np.quantile(fused, 1 - NOTABLE_P))
        highest = cut_blocks(fused[:, None], sessions, start_s, window_s, np.max).means[:, 0]
        return cls(
            names=tuple(names),
            centre=centre,
            scale=scale,
            blocks=len(blocks),
            effective_blocks=effective,
            evidence_limit=fit_evidence_limit(deviations, blocks.follows, chains),
            notable_score=notable_score,
            notable_limit=fit_counted_limit(highest, notable_score, chains),
            combined=combined,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VoiceStatistics):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.names, self.blocks, self.notable_score))

    def to_dict(self) -> dict[str, object]:
        """Return JSON-ready values that :meth:`from_dict` restores exactly."""
        values: dict[str, object] = {
            "names": list(self.names),
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "blocks": self.blocks,
            "effective_blocks": self.effective_blocks,
            "evidence_limit": self.evidence_limit.to_dict(),
            "notable_score": self.notable_score,
            "notable_limit": self.notable_limit.to_dict(),
        }
        return values if self.combined is None else {**values, "combined": self.combined}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Restore statistics from :meth:`to_dict`.

        Raises
        ------
        ValueError
            If a value is missing, not finite, or does not fit the others.
        """
        names, blocks = values.get("names"), values.get("blocks")
        if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
            raise ValueError("names: expected a list of texts")
        centre = _read_numbers(values.get("centre"), "centre", len(names))
        scale = _read_numbers(values.get("scale"), "scale", len(names))
        if np.any(scale <= 0.0):
            raise ValueError("scale: expected numbers above 0")
        if type(blocks) is not int or blocks < 1:
            raise ValueError(f"blocks: expected an integer of at least 1, got {blocks!r}")
        effective = values.get("effective_blocks")
        if not is_number(effective) or not 0 < effective <= blocks:
            raise ValueError(
                f"effective_blocks: expected a number in (0, blocks], got {effective!r}"
            )
        combined = values.get("combined")
        if combined is not None and (type(combined) is not int or not 0 < combined <= len(names)):
            raise ValueError(
                f"combined: expected an integer of 1 to {len(names)}, got {combined!r}"
            )
        (notable_score,) = _read_numbers([values.get("notable_score")], "notable_score", 1)
        return cls(
            names=tuple(names),
            centre=centre,
            scale=scale,
            blocks=blocks,
            effective_blocks=float(effective),
            evidence_limit=FalseAlarmLimit.from_dict(values.get("evidence_limit")),
            notable_score=float(notable_score),
            notable_limit=FalseAlarmLimit.from_dict(values.get("notable_limit")),
            combined=combined,
        )


def _deviations(
    means: Matrix,
    centre: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    combined: int | None,
) -> Matrix:
    """Return clipped deviations of the voices, and of their combinations if there are several."""
    deviations = (means - centre) / scale
    if deviations.shape[-1] > 1:
        together = 1.5 * deviations[..., :combined].mean(-1)
        strongest = log_mean_exp(deviations[..., :combined]) - 0.5
        both = np.stack([together, strongest], axis=-1)
        deviations = np.concatenate([deviations, both], axis=-1)
    return np.clip(deviations, -MAX_DEVIATION, MAX_DEVIATION)


def _fit_scale(
    means: Matrix, smallest: npt.NDArray[np.float64], effective: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return centre and scale ``(voices,)`` of blocks ``(n, voices)``."""
    spread = means.std(0) * np.sqrt(1 + 1 / effective)
    return np.median(means, 0), np.maximum(spread, smallest) * (1 + FEW_BLOCKS / effective)


def _leave_one_out(
    blocks: Blocks,
    smallest: npt.NDArray[np.float64],
    effective: float,
    combined: int | None,
) -> Matrix:
    """Return each block's deviations by the centre and scale of all others.

    An odd block widens a scale that it is part of, so its own deviation would be too small to
    represent sound that is still unknown.
    """
    return np.stack(
        [
            _deviations(
                blocks.means[i],
                *_fit_scale(np.delete(blocks.means, i, 0), smallest, effective),
                combined,
            )
            for i in range(len(blocks))
        ]
    )


def fit_evidence_limit(
    deviations: Matrix, follows: npt.NDArray[np.bool_], chains: npt.NDArray[np.int64]
) -> FalseAlarmLimit:
    """Fit the limit of the CUSUM.

    Chains of known blocks contain no excursion that is longer than the known ones. The slope is
    therefore at least that of Brownian motion with the same long-run variance ``v`` and the drift
    ``-SLACK``, whose excursions exceed ``h`` with a probability of ``exp(-2 SLACK h / v)``
    (Siegmund 1985, eq. 2.52).
    """
    evidence = np.zeros((chains.shape[1], deviations.shape[1]))
    gains = deviations - SLACK

    def advance(blocks: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        nonlocal evidence
        evidence += gains[blocks]
        np.maximum(evidence, 0.0, out=evidence)
        return np.asarray(evidence.max(1))

    variance = Blocks(deviations, follows).long_run_variance()
    min_slope = float(variance.max()) / (2 * SLACK)
    return fit_limit(largest_in_chains(chains, advance), MIN_LIMIT, min_slope)


def fit_counted_limit(
    highest: npt.NDArray[np.float64], notable_score: float, chains: npt.NDArray[np.int64]
) -> FalseAlarmLimit:
    """Fit the limit of the count of notable blocks, at least that of the counts in the chains.

    Parameters
    ----------
    highest
        ``(n,)``: highest fused score of each block of normal sound.
    notable_score
        A block with a higher score is notable.
    chains
        Of these blocks.
    """
    notable = highest > notable_score
    derived = _derive_counted_limit(notable, _measure_clustering(highest, notable, chains))
    count = np.zeros(chains.shape[1])
    recent = np.zeros((COUNTED_BLOCKS, chains.shape[1]), np.bool_)
    step = 0

    def advance(indices: npt.NDArray[np.int64]) -> Matrix:
        nonlocal count, step
        row = step % COUNTED_BLOCKS
        count = count - recent[row] + notable[indices]
        recent[row] = notable[indices]
        step += 1
        return np.asarray(count)

    found = fit_limit(largest_in_chains(chains, advance), derived.smallest, derived.slope)
    higher = max(derived, found, key=lambda limit: limit.at(_RARITIES[-1]))
    return FalseAlarmLimit(min(higher.base, COUNTED_BLOCKS - 1.0), higher.slope, higher.smallest)


def _measure_clustering(
    highest: npt.NDArray[np.float64],
    notable: npt.NDArray[np.bool_],
    chains: npt.NDArray[np.int64],
) -> float:
    """Return how many notable blocks come together: the variance of counts over that of chance.

    Few blocks are notable, so that of the highest 10 and 20 % of the blocks is averaged with it.
    It is increased by its standard error where there is any, as only a few of the counts of ten
    minutes are independent.
    """
    clustering = []
    for selected in (notable, *(highest > np.quantile(highest, 1 - part) for part in _COMMON)):
        share = float(selected.mean())
        binomial = COUNTED_BLOCKS * share * (1 - share)
        counts = selected[chains[:COUNTED_BLOCKS]].sum(0)
        clustering.append(float(counts.var()) / binomial if binomial > 0 else 1.0)
    excess = max(clustering[0], float(np.mean(clustering)), 1.0) - 1.0
    independent = max(len(highest) / COUNTED_BLOCKS, 1.0)
    return 1.0 + excess * (1.0 + math.sqrt(2.0 / independent))


def _derive_counted_limit(notable: npt.NDArray[np.bool_], clustering: float) -> FalseAlarmLimit:
    """Return the limit of the count of notable blocks that follows from their share.

    The share of notable blocks is known from few of them, so the count follows a beta-binomial
    distribution (a uniform prior). Notable blocks come in clusters: of the blocks that are known,
    and of those that are counted, only as many count as are independent.
    """
    often = 1 + float(notable.sum()) / clustering
    seldom = 1 + float((~notable).sum()) / clustering
    trials = max(round(COUNTED_BLOCKS / clustering), 1)
    upper = upper_tail(trials, often, seldom)
    limits = [
        (float(np.argmax(upper <= INDEPENDENT_COUNTS / blocks)) + 0.5) * COUNTED_BLOCKS / trials
        for blocks in _RARITIES
    ]
    slope = (limits[1] - limits[0]) / np.log(_RARITIES[1] / _RARITIES[0])
    base = limits[0] - slope * np.log(_RARITIES[0])
    return FalseAlarmLimit(float(base), float(slope), MIN_NOTABLE_BLOCKS - 0.5)


def _read_numbers(values: object, name: str, count: int) -> npt.NDArray[np.float64]:
    if not isinstance(values, Sequence) or not all(map(is_number, values)):
        raise ValueError(f"{name}: expected a list of numbers")
    if len(values) != count or not np.all(np.isfinite(values)):
        raise ValueError(f"{name}: expected {count} finite numbers")
    return np.asarray(values, dtype=np.float64)
