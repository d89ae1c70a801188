"""Find the modes of a machine among the profiles of its normal sound, without labels.

One mode is preferred. Sound is divided only where its parts clearly differ in level or spectrum,
and where each part returns or lasts, so that neither slow drift nor a passing sound makes a mode.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MIN_DISTANCE_DB = 3.0
"""Smallest difference between two modes, as the root mean square over octaves."""
MIN_SEPARATION = 5.0
"""Smallest separation of two modes: Ashman's D (1994). Halves of a uniform distribution have 3.5,
halves of a normal one 2.7."""
FEW_BLOCKS = 10.0
"""The separation is larger by ``1 + FEW_BLOCKS / blocks``: few blocks differ by chance, and a mode
with few blocks costs sensitivity."""
MIN_BLOCKS = 8
"""Fewest blocks of a mode: 80 s of sound. With fewer, its scale is too uncertain to find faults."""
MIN_BOUTS, MIN_SINGLE_BOUT_BLOCKS = 2, 12
"""A mode has returned this often, or has lasted for this many blocks."""
MIN_CONFIRMED_BLOCKS = 4
"""Fewest blocks of a mode that a person confirmed as normal."""
MAX_CLUSTERS = 8
MAX_MERGED_BLOCKS = 300
MIN_SPREAD_DB = 0.3

_ROUNDS = 20


def find_clusters(
    profiles: Matrix, follows: BoolArray, confirmed: BoolArray | None = None
) -> Labels:
    """Return the cluster ``(n,)`` of each block, numbered from 0; all 0 for a single mode.

    The result does not depend on the order of the bouts.

    Parameters
    ----------
    profiles
        ``(n, octaves)`` in dB.
    follows
        ``(n,)``: True where a block directly follows the one before it.
    confirmed
        ``(n,)``: True for blocks that a person confirmed as normal.
    """
    known = np.zeros(len(profiles), np.bool_) if confirmed is None else confirmed
    best = np.zeros(len(profiles), np.int64)
    for labels in _divide(profiles):
        kept = [
            label
            for label in range(int(labels.max()) + 1)
            if _is_frequent(labels == label, follows, known)
        ]
        centres = [profiles[labels == label].mean(0) for label in kept]
        if len(kept) < 2:
            continue
        labels, _ = _refine(profiles, np.array(centres))
        frequent = all(_is_frequent(labels == label, follows, known) for label in range(len(kept)))
        if frequent and len(kept) > best.max() + 1 and _are_apart(profiles, labels):
            best = labels
    return best


def _divide(profiles: Matrix) -> Iterator[Labels]:
    """Yield divisions into 2, 3, ... clusters by Ward's method (1963), each refined by k-means."""
    ordered = profiles[np.lexsort(profiles.T)]
    picked = np.linspace(0, len(ordered) - 1, min(len(ordered), MAX_MERGED_BLOCKS))
    points = ordered[np.unique(picked.round().astype(np.int64))]
    for centres in _merge(points):
        yield _refine(profiles, centres)[0]


def _merge(points: Matrix) -> list[Matrix]:
    """Return the centres of 2, 3, ... clusters, in which the sum of squares rises least."""
    centres, sizes = points.copy(), np.ones(len(points))
    divisions: list[Matrix] = []
    squared = ((points[:, None] - points) ** 2).sum(-1)
    costs = squared / 2
    np.fill_diagonal(costs, np.inf)
    for remaining in range(len(points), 1, -1):
        if remaining <= MAX_CLUSTERS:
            divisions.append(centres[sizes > 0].copy())
        first, second = np.unravel_index(int(np.argmin(costs)), costs.shape)
        total = sizes[first] + sizes[second]
        centres[first] = (sizes[first] * centres[first] + sizes[second] * centres[second]) / total
        sizes[first], sizes[second] = total, 0.0
        costs[second], costs[:, second] = np.inf, np.inf
        present = sizes > 0
        distance = ((centres - centres[first]) ** 2).sum(-1)
        row = np.where(present, total * sizes / np.maximum(total + sizes, 1.0) * distance, np.inf)
        row[first] = np.inf
        costs[first], costs[:, first] = row, row
    return divisions[::-1]


def _refine(profiles: Matrix, centres: Matrix) -> tuple[Labels, Matrix]:
    """Return the labels and centres of k-means that starts at ``centres``."""
    labels = np.zeros(len(profiles), np.int64)
    for _ in range(_ROUNDS):
        labels = np.argmin(((profiles[:, None] - centres) ** 2).sum(-1), 1)
        present = np.unique(labels)
        labels = np.searchsorted(present, labels)
        moved = np.array([profiles[labels == label].mean(0) for label in range(len(present))])
        if moved.shape == centres.shape and np.allclose(moved, centres):
            break
        centres = moved
    return labels, centres


def _is_frequent(inside: BoolArray, follows: BoolArray, confirmed: BoolArray) -> bool:
    """Return whether a mode has enough blocks, in several bouts or in a long one."""
    if (inside & confirmed).sum() >= MIN_CONFIRMED_BLOCKS:
        return True
    count = int(inside.sum())
    continues = inside & follows & np.append(False, inside[:-1])
    bouts = count - int(continues.sum())
    return count >= MIN_BLOCKS and (bouts >= MIN_BOUTS or count >= MIN_SINGLE_BOUT_BLOCKS)


def _are_apart(profiles: Matrix, labels: Labels) -> bool:
    """Return whether all clusters clearly differ."""
    parts = [profiles[labels == label] for label in range(int(labels.max()) + 1)]
    return all(
        _is_apart(first, second) for index, first in enumerate(parts) for second in parts[:index]
    )


def _is_apart(first: Matrix, second: Matrix) -> bool:
    centres = np.median(first, 0), np.median(second, 0)
    axis = centres[1] - centres[0]
    length = float(np.linalg.norm(axis))
    if length < MIN_DISTANCE_DB * np.sqrt(len(axis)):
        return False
    variance = sum(
        max(_robust_spread(part @ axis / length), MIN_SPREAD_DB) ** 2 for part in (first, second)
    )
    needed = MIN_SEPARATION * (1 + FEW_BLOCKS / min(len(first), len(second)))
    return bool(np.sqrt(2 / variance) * length >= needed)


def _robust_spread(values: npt.NDArray[np.float64]) -> float:
    """Return the standard deviation of the middle 80 %, as that of a normal distribution."""
    low, high = np.quantile(values, (0.1, 0.9))
    return float(high - low) / 2.563
