"""Blocks of ten seconds: the unit of evidence of the sequential test.

Windows within ten seconds resemble each other, and a passing sound affects several of them. The
mean log score of the windows of a block therefore counts as one piece of evidence.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK_S = 10.0
"""Length of a block. Shorter ones resemble their neighbours too much to count as independent."""

Matrix = npt.NDArray[np.float64]

LAG_DIVISOR = 5
"""Correlations are measured up to this part of the sound."""

_MAX_CORRELATION = 0.95
# The correlation of a few blocks is mostly noise: it is shrunk as if this many more pairs of
# neighbours, uncorrelated, had been observed.
_UNCORRELATED_PRIOR_PAIRS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Held-out normal sound, cut into blocks.

    Attributes
    ----------
    means
        ``(n, voices)``: mean log score of the windows of each block.
    follows
        ``(n,)``: True where a block directly follows the one before it.
    """

    means: Matrix
    follows: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of blocks."""
        return len(self.means)

    def first_voices(self, count: int | None) -> "Blocks":
        """Return the same blocks with the first voices only; with None, all."""
        return Blocks(self.means[:, :count], self.follows)

    def count_effective(self, longest_lag: int | None = None) -> float:
        """Return the number of independent blocks that these are worth.

        The number of blocks, divided by their correlation time averaged over voices.

        Parameters
        ----------
        longest_lag
            As for :meth:`correlation_times`.
        """
        return len(self) / float(self.correlation_times(longest_lag).mean())

    def long_run_variance(self) -> npt.NDArray[np.float64]:
        """Return ``(voices,)``: variance of sums of blocks per block."""
        return np.asarray(self.means.var(0) * self.correlation_times())

    def correlation_times(self, longest_lag: int | None = None) -> npt.NDArray[np.float64]:
        """Return ``(voices,)``: number of blocks for which the evidence of one counts, >= 1.

        The integrated autocorrelation time ``1 + 2 sum r[k]`` (Sokal 1997), up to the first lag
        whose mean over voices is less than its standard error, and at least that of an AR(1)
        process with the same lag-1 autocorrelation. Sound whose slow changes are hidden by noise
        from block to block has a low lag-1 autocorrelation and long excursions all the same.

        Parameters
        ----------
        longest_lag
            Longest lag that is measured, by default a fifth of the sound. Longer sound shows slower
            changes; with 1, sound of different lengths is compared alike.
        """
        first = self.correlation(1)
        sums, lag = 1 + 2 * first, 1
        longest = len(self) // LAG_DIVISOR if longest_lag is None else longest_lag
        while lag < longest:
            further = self.correlation(lag + 1)
            if float(further.mean()) < 1 / math.sqrt(len(self)):
                break
            sums, lag = sums + 2 * further, lag + 1
        if lag > 1:
            # The mean is estimated from the same blocks, which makes correlations too low.
            sums = sums * (1 + (2 * lag + 1) / len(self))
        return np.asarray(np.maximum(sums, (1 + first) / (1 - first)))

    def correlation(self, lag: int = 1) -> npt.NDArray[np.float64]:
        """Return ``(voices,)``: autocorrelation, at most 0.95; shrunk for few blocks.

        The one at lag 1 is at least 0.
        """
        count = len(self)
        # A pair belongs to one stretch where no gap lies between its blocks.
        gaps = np.cumsum(~self.follows)
        later = np.flatnonzero(gaps[lag:] == gaps[: count - lag]) + lag
        centred = self.means - self.means.mean(0)
        variance = np.maximum((centred * centred).mean(0), 1e-30)
        product = (centred[later] * centred[later - lag]).sum(0)
        correlation = product / variance / (len(later) + _UNCORRELATED_PRIOR_PAIRS)
        lowest = 0.0 if lag == 1 else -1.0
        return np.asarray(np.clip(correlation, lowest, _MAX_CORRELATION))


def cut_blocks(
    values: npt.ArrayLike,
    sessions: npt.ArrayLike,
    start_s: npt.ArrayLike,
    window_s: float,
    average: Callable[..., Matrix] = np.mean,
) -> Blocks:
    """Average the values of windows over blocks of their session.

    Parameters
    ----------
    values
        ``(n, voices)``, of windows that do not overlap.
    sessions
        ``(n,)`` integers; windows of different sessions are independent.
    start_s
        ``(n,)`` start of each window in seconds, from any origin within its session.
    window_s
        Length of a window.
    average
        ``numpy.mean``, ``numpy.median`` or ``numpy.max``.
    """
    matrix = np.asarray(values, dtype=np.float64)
    numbers = number_blocks(sessions, start_s, window_s)
    present = np.unique(numbers)
    means = [average(matrix[numbers == number], axis=0) for number in present]
    return Blocks(np.array(means), np.diff(present, prepend=present[0] - 2) == 1)


def number_blocks(
    sessions: npt.ArrayLike, start_s: npt.ArrayLike, window_s: float
) -> npt.NDArray[np.int64]:
    """Return ``(n,)``: number of the block of each window, the next one where a block follows.

    Parameters are those of :func:`cut_blocks`.
    """
    session, begin_s = np.asarray(sessions), np.asarray(start_s, dtype=np.float64)
    block_s = block_windows(window_s) * window_s
    numbers = np.zeros(len(session), np.int64)
    first = 0
    for name in np.unique(session):
        inside = session == name
        since_s = begin_s[inside] - begin_s[inside].min()
        # Starts are rounded to samples; 1e-6 keeps one at a border in its own block.
        numbers[inside] = first + np.floor(since_s / block_s + 1e-6).astype(np.int64)
        first = int(numbers[inside].max()) + 2  # no block of another session follows
    return numbers


def count_effective_windows(
    scores: npt.ArrayLike, sessions: npt.ArrayLike, start_s: npt.ArrayLike, window_s: float
) -> float:
    """Return the number of independent windows that the scores of normal sound are worth.

    ``n / (1 + (m - 1) r)`` with ``m`` windows in a block and ``r`` the correlation of windows of
    one block (the design effect of Kish 1965), times the part of the blocks that is independent.

    Parameters
    ----------
    scores, sessions, start_s, window_s
        As for :func:`cut_blocks`; ``(n,)`` scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    blocks = cut_blocks(values[:, None], sessions, start_s, window_s)
    count, size = len(values), len(values) / len(blocks)
    variance = float(values.var())
    if size <= 1.0 or variance <= 0.0:
        return float(count)
    between = float(blocks.means.var()) / variance
    correlation = min(max((between * size - 1.0) / (size - 1.0), 0.0), 1.0)
    independent = blocks.count_effective() / len(blocks)
    return max(count * independent / (1.0 + (size - 1.0) * correlation), 1.0)


def block_windows(window_s: float) -> int:
    """Return the number of windows in a block, at least one."""
    return max(1, round(BLOCK_S / window_s))


def blocks_per_month(window_s: float) -> float:
    """Return how many blocks of sound a month of 30 days has."""
    return 30 * 86_400 / (block_windows(window_s) * window_s)


def log_mean_exp(values: Matrix) -> Matrix:
    """Return the log-mean-exp over the last axis."""
    highest = values.max(-1, keepdims=True)
    mean = np.exp(values - highest).mean(-1)
    return np.asarray(highest[..., 0] + np.log(mean))
