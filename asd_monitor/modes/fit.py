"""Learn the modes of a machine from windows of normal sound and their held-out scores."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.blocks import Blocks, block_windows
from asd_monitor.modes.clusters import find_clusters
from asd_monitor.modes.learned import LearnedModes, Mode, Scale
from asd_monitor.modes.naming import name_modes
from asd_monitor.modes.profile import window_profile

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

STEADY_QUANTILE = 0.9
MAX_FACTOR = 2.0
"""The spread of a mode differs from that of the others by at most this factor."""
MIN_SPREAD = 1e-3
FEW_CENTRE_BLOCKS, FEW_SPREAD_BLOCKS = 1.0, 10.0
"""Centre and spread of a mode are those of all modes, as far as it has no more blocks than this."""


def profiles_of(waveforms: Iterable[npt.NDArray[np.float32]], sample_rate_hz: int) -> Matrix:
    """Return the profiles ``(n, octaves)`` of windows."""
    return np.array([window_profile(waveform, sample_rate_hz) for waveform in waveforms])


def fit_modes(
    profiles: Matrix,
    levels_dbfs: npt.ArrayLike,
    sessions: npt.ArrayLike,
    start_s: npt.ArrayLike,
    window_s: float,
    scores: Matrix,
    confirmed: npt.NDArray[np.bool_] | None = None,
) -> LearnedModes:
    """Find the modes of normal sound and the scale of the scores in each.

    Parameters
    ----------
    profiles
        ``(n, octaves)``, of windows that do not overlap.
    levels_dbfs
        ``(n,)``.
    sessions, start_s, window_s
        As for :func:`~asd_monitor.calibration.blocks.cut_blocks`.
    scores
        ``(n, 1 + voices)``: held-out score and voices of the windows.
    confirmed
        ``(n,)``: True for sound that a person confirmed as normal; a short bout of it is enough
        for a mode.
    """
    block, follows = _number_blocks(np.asarray(sessions), np.asarray(start_s, float), window_s)
    medians = np.array([np.median(profiles[block == number], 0) for number in range(len(follows))])
    known = np.zeros(len(follows), np.bool_)
    if confirmed is not None:
        known[block[confirmed]] = True
    labels = find_clusters(medians, follows, known)[block]
    levels = np.asarray(levels_dbfs, dtype=np.float64)
    modes: list[Mode] = []
    for label in range(int(labels.max()) + 1):
        inside = labels == label
        count = len(np.unique(block[inside]))
        profile = np.median(profiles[inside], 0)
        level = float(np.median(levels[inside]))
        modes.append(Mode(f"mode {label}", tuple(profile.tolist()), level, count))
    order = sorted(range(len(modes)), key=lambda label: modes[label].level_dbfs)
    if len(modes) > 1:
        scales = _fit_scales(scores, labels, block, follows)
        modes = [replace(mode, scale=scale) for mode, scale in zip(modes, scales, strict=True)]
    names = name_modes([modes[label].level_dbfs for label in order])
    ordered = [replace(modes[i], name=name) for i, name in zip(order, names, strict=True)]
    return LearnedModes(tuple(ordered), _measure_steadiness(profiles, block))


def adjust_held_out(modes: LearnedModes, profiles: Matrix, scores: Matrix) -> Matrix:
    """Return held-out scores ``(n, 1 + voices)`` as they would be in sound that was not learned.

    A mode's centre is known from these scores themselves: no error of it is allowed for, and
    deviations are increased as if each block had been left out.
    """
    if len(modes) == 1:
        return scores
    labels = modes.nearest_of(profiles)
    common = max(modes.modes, key=lambda mode: mode.blocks).scale
    assert common is not None  # noqa: S101 - several modes have scales
    adjusted = np.empty_like(scores)
    for index, mode in enumerate(modes.modes):
        inside = labels == index
        assert mode.scale is not None  # noqa: S101 - as above
        factor = np.asarray(common.spread) / mode.scale.spread * (1 + 1 / mode.blocks)
        adjusted[inside] = (scores[inside] - mode.scale.centre) * factor + common.centre
    return adjusted


def _fit_scales(
    scores: Matrix, labels: Labels, block: Labels, follows: npt.NDArray[np.bool_]
) -> list[Scale]:
    """Return the scale of each mode, shrunk towards that of all modes."""
    numbers = [np.unique(block[labels == label]) for label in range(int(labels.max()) + 1)]
    parts = [scores[labels == label] for label in range(len(numbers))]
    weights = np.array([[len(own)] for own in numbers], np.float64)
    centres = np.array([np.median(part, 0) for part in parts])
    variances = np.array([part.var(0) for part in parts])
    pooled_centre = (weights * centres).sum(0) / weights.sum()
    pooled_variance = np.maximum((weights * variances).sum(0) / weights.sum(), MIN_SPREAD**2)
    own = weights / (weights + FEW_CENTRE_BLOCKS)
    centres = own * centres + (1 - own) * pooled_centre
    own = weights / (weights + FEW_SPREAD_BLOCKS)
    pooled = np.sqrt(pooled_variance)
    spreads = np.sqrt(own * variances + (1 - own) * pooled_variance)
    spreads = np.clip(spreads, pooled / MAX_FACTOR, pooled * MAX_FACTOR)
    means = np.array([scores[block == number].mean(0) for number in range(len(follows))])
    errors = [_standard_error(means, own, follows) for own in numbers]
    return [
        Scale(tuple(centre.tolist()), tuple(spread.tolist()), tuple(error.tolist()))
        for centre, spread, error in zip(centres, spreads, errors, strict=True)
    ]


def _standard_error(
    means: Matrix, own: Labels, follows: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the standard error ``(1 + voices,)`` of the mean of a mode's blocks."""
    continues = follows[own] & np.append(False, np.diff(own) == 1)
    variance = Blocks(means[own], continues).long_run_variance()
    return np.asarray(np.sqrt(variance / len(own)))


def _number_blocks(
    sessions: npt.NDArray[np.int64], start_s: npt.NDArray[np.float64], window_s: float
) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """Return the block ``(n,)`` of each window, and whether each block follows the one before."""
    block_s = block_windows(window_s) * window_s
    block = np.zeros(len(sessions), np.int64)
    follows: list[bool] = []
    for session in np.unique(sessions):
        inside = sessions == session
        since_s = start_s[inside] - start_s[inside].min()
        # Starts are rounded to samples; 1e-6 keeps one at a border in its own block.
        present, index = np.unique(np.floor(since_s / block_s + 1e-6), return_inverse=True)
        block[inside] = len(follows) + index
        follows += [False, *(np.diff(present) == 1).tolist()]
    return block, np.array(follows)


def _measure_steadiness(profiles: Matrix, block: Labels) -> float:
    """Return how much the levels vary within a block, in nine of ten blocks."""
    spreads = [
        float(np.median(profiles[block == number].std(0))) for number in range(int(block.max()) + 1)
    ]
    return float(np.quantile(spreads, STEADY_QUANTILE))
