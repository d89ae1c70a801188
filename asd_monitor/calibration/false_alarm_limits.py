"""Limits of a statistic that normal sound exceeds once in a given time.

The blocks of held-out normal sound are strung together at random, in stretches of a few minutes
(the stationary bootstrap of Politis and Romano 1994), and the statistic is followed along many such
chains. The largest value in a chain has a nearly exponential tail, so the limit is linear in the
logarithm of the time between false alarms.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.normal_range import is_number

MEAN_STRETCH_BLOCKS = 18
"""Mean length of the stretches of consecutive blocks in a chain: three minutes."""
CHAINS = 1500
CHAIN_BLOCKS = 400
_EXCEEDED = (0.5, 0.3, 0.15, 0.07, 0.03)
"""Fractions of chains that exceed the limits which give the slope; the first anchors the line."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FalseAlarmLimit:
    """A limit as a function of the blocks between two false alarms: ``base + slope log(blocks)``.

    Attributes
    ----------
    base, slope
        In units of the statistic; ``slope`` >= 0.
    smallest
        The limit is never below this.
    """

    base: float
    slope: float
    smallest: float

    def at(self, blocks: float) -> float:
        """Return the limit that normal sound exceeds once in ``blocks`` blocks on average."""
        return max(self.smallest, self.base + self.slope * math.log(max(blocks, 1.0)))

    def to_dict(self) -> dict[str, float]:
        """Return JSON-ready values."""
        return {"base": self.base, "slope": self.slope, "smallest": self.smallest}

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Restore a limit from :meth:`to_dict`.

        Raises
        ------
        ValueError
            If a value is missing or not a finite number.
        """
        names = ("base", "slope", "smallest")
        if not isinstance(values, Mapping) or set(values) != set(names):
            raise ValueError(f"expected an object with {', '.join(names)}")
        for name in names:
            if not is_number(values[name]) or not math.isfinite(values[name]):
                raise ValueError(f"{name}: expected a finite number, got {values[name]!r}")
        return cls(*(float(values[name]) for name in names))


def draw_chains(
    follows: npt.NDArray[np.bool_], seed: int = 0, mean_stretch_blocks: float = MEAN_STRETCH_BLOCKS
) -> Indices:
    """Draw chains of block indices, ``(CHAIN_BLOCKS, CHAINS)``.

    Parameters
    ----------
    follows
        ``(n,)``: True where a block directly follows the one before it.
    seed
        Of the random numbers.
    mean_stretch_blocks
        Mean length of the stretches of consecutive blocks; gaps make them shorter.
    """
    random = np.random.default_rng(seed)
    count = len(follows)
    continues = np.append(follows[1:], False)
    chains = np.empty((CHAIN_BLOCKS, CHAINS), np.int64)
    chains[0] = random.integers(0, count, CHAINS)
    for step in range(1, CHAIN_BLOCKS):
        jumps = random.random(CHAINS) * mean_stretch_blocks < 1.0
        jumps |= ~continues[chains[step - 1]]
        chains[step] = np.where(jumps, random.integers(0, count, CHAINS), chains[step - 1] + 1)
    return chains


def fit_limit(
    largest: npt.NDArray[np.float64], smallest: float, min_slope: float
) -> FalseAlarmLimit:
    """Fit the limit to the largest value of the statistic in each chain.

    Parameters
    ----------
    largest
        ``(CHAINS,)``.
    smallest
        The limit is never below this, however rarely normal sound reaches it.
    min_slope
        Smallest slope: few blocks of normal sound make the tail look shorter than it is.
    """
    limits = np.array([np.quantile(largest, 1 - part) for part in _EXCEEDED])
    # A chain exceeds the limit with probability 1 - exp(-length / blocks between false alarms).
    log_blocks = np.log([CHAIN_BLOCKS / -math.log(1 - part) for part in _EXCEEDED])
    slope = max(float(np.polyfit(log_blocks, limits, 1)[0]), min_slope)
    return FalseAlarmLimit(float(limits[0] - slope * log_blocks[0]), slope, smallest)


def largest_in_chains(
    chains: Indices, advance: Callable[[Indices], npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """Return the largest value of a statistic in each chain, ``(CHAINS,)``.

    Parameters
    ----------
    chains
        From :func:`draw_chains`.
    advance
        Takes the next block of every chain, and returns the statistic of each.
    """
    largest = np.full(chains.shape[1], -np.inf)
    for blocks in chains:
        np.maximum(largest, advance(blocks), out=largest)
    return largest


def upper_tail(trials: int, often: float, seldom: float) -> npt.NDArray[np.float64]:
    """Return ``(trials + 1,)``: the probability that a beta-binomial count exceeds 0, 1, 2 ...

    Parameters
    ----------
    trials
        Largest count.
    often, seldom
        Parameters of the beta distribution of the probability, > 0.
    """
    log_beta = math.lgamma(often) + math.lgamma(seldom) - math.lgamma(often + seldom)
    log_probability = [
        math.lgamma(trials + 1)
        - math.lgamma(count + 1)
        - math.lgamma(trials - count + 1)
        + math.lgamma(count + often)
        + math.lgamma(trials - count + seldom)
        - math.lgamma(trials + often + seldom)
        - log_beta
        for count in range(trials + 1)
    ]
    probability = np.exp(log_probability)
    return np.maximum(1.0 - np.cumsum(probability), 0.0)
