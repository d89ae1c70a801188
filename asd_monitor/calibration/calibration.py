"""Turn anomaly scores into p-values and thresholds, using held-out scores of normal sound."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.alarm_rate import BOUTS_FOR_ALARM
from asd_monitor.calibration.false_alarm_limits import FalseAlarmLimit
from asd_monitor.calibration.normal_range import NormalRange, is_number

PROVISIONAL_BELOW = 180
"""With fewer held-out windows than this, a threshold at 0.1 % is little more than a guess."""

MIN_P = 1e-300

_Kind = TypeVar("_Kind", bound=np.generic)

_MAX_STORED_SCORES = 4096
_STORED_TAIL_SCORES = 1024
_MAX_SCORE = 1e100

# Chosen by simulation with 12 to 1000 scores from eight distributions, light- and heavy-tailed:
# docs/calibration.md has the table, tests/calibration/test_calibration.py repeats a part of it.
_TAIL_FRACTION = 0.15
_MIN_TAIL_SCORES = 10
_MAX_TAIL_SCORES = 500
_SHAPE_PRIOR_WEIGHT = 40
_MAX_SHAPE = 0.5
# The scale of a tail is uncertain, as if it were known from this many more excesses. Chosen on
# real recordings (docs/calibration.md).
_SCALE_PRIOR_WEIGHT = 2


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Held-out scores of normal sound, with a fitted tail beyond the largest of them.

    Up to the largest calibration score, p-values are conformal:
    ``p(s) = (1 + #{calibration >= s}) / (n + 1)``, so under exchangeability normal sound has
    ``P(p <= a) <= a`` for every distribution of scores. Beyond it, a generalised Pareto tail
    continues from ``1 / (n + 1)`` towards 0. Its scale and shape are estimated by
    probability-weighted moments (Hosking and Wallis 1987, eq. 2.4) from the largest 15 % (10 to
    500) of the scores; the shape is shrunk towards 0 (an exponential tail) and kept in [0, 0.5],
    because a few scores do not show whether a tail is heavy or light.

    Attributes
    ----------
    scores
        ``(m,)`` float64, ascending, read-only. All of them up to 4096; of more, the largest
        1024 and evenly ranked ones below. Higher = more anomalous.
    ranks
        ``(m,)`` int64: the rank of each of ``scores`` among all calibration scores, from 0.
    count
        Number of scores that the calibration was fitted to.
    tail_scale
        Scale of the tail at the largest score, in units of the score; > 0.
    tail_shape
        Shape of the tail; 0 = exponential, larger = heavier.
    normal_range
        Normal range of the score; None where the times of the scores are unknown.
    effective_count
        Number of independent windows that the scores are worth, at most ``count``: windows of
        the same ten seconds resemble each other.
    minute_limit
        Threshold that three blocks of a minute exceed once in a number of blocks, as they follow
        each other in the sound; None where that was not measured.
    """

    scores: npt.NDArray[np.float64]
    ranks: npt.NDArray[np.int64]
    count: int
    tail_scale: float
    tail_shape: float
    normal_range: NormalRange | None = None
    effective_count: float = 0.0
    minute_limit: FalseAlarmLimit | None = None

    def __post_init__(self) -> None:
        if not self.effective_count:
            object.__setattr__(self, "effective_count", float(self.count))

    @classmethod
    def fit(
        cls,
        scores: npt.ArrayLike,
        normal_range: NormalRange | None = None,
        effective_count: float = 0.0,
    ) -> Self:
        """Calibrate with held-out scores of normal sound.

        Parameters
        ----------
        scores
            ``(n,)``, n >= 2, finite, in any order; of recordings that the model has not seen,
            because scores of memorised recordings are too low.
        normal_range
            The normal range of the same scores.
        effective_count
            Number of independent windows that they are worth; 0: all are independent.

        Raises
        ------
        ValueError
            If there are fewer than two scores, or one is not finite or is 1e100 or larger.
        """
        ordered = np.sort(np.asarray(scores, dtype=np.float64).ravel())
        if len(ordered) < 2:
            msg = f"a calibration needs at least 2 held-out scores, got {len(ordered)}"
            raise ValueError(msg)
        if not np.all(np.abs(ordered) <= _MAX_SCORE):
            msg = "calibration scores must be finite and below 1e100 in size"
            raise ValueError(msg)
        scale, shape = _fit_tail(ordered)
        ranks = _select_stored_ranks(len(ordered))
        stored = _make_read_only(ordered[ranks])
        effective = min(effective_count or float(len(ordered)), float(len(ordered)))
        return cls(
            stored, _make_read_only(ranks), len(ordered), scale, shape, normal_range, effective
        )

    @property
    def provisional(self) -> bool:
        """True while too few windows support a threshold."""
        return self.effective_count < PROVISIONAL_BELOW

    @property
    def tail_excesses(self) -> float:
        """Number of independent scores that the tail was fitted to, at least 1."""
        return max(_count_tail_scores(self.count) * self.effective_count / self.count, 1.0)

    @property
    def rule(self) -> str:
        """How thresholds are derived, in one sentence."""
        if self.provisional:
            return (
                f"generalised Pareto tail on {self.count} held-out windows, worth "
                f"{self.effective_count:.0f} independent ones, provisional"
            )
        return (
            f"conformal p-values of {self.count} held-out windows, "
            "generalised Pareto tail beyond them"
        )

    def p_value(self, value: float) -> tuple[float, bool]:
        """Return how often normal sound scores this high or higher, in (0, 1].

        Also returns whether the value lies beyond the calibration scores, where p comes from
        the fitted tail. Never rises with ``value``; continuous beyond the largest score.

        Raises
        ------
        ValueError
            If ``value`` is NaN.
        """
        if math.isnan(value):
            raise ValueError("a score that is not a number has no p-value")
        largest = float(self.scores[-1])
        if value > largest:
            survival = self._compute_tail_survival((value - largest) / self.tail_scale)
            return max(survival / (self.count + 1), MIN_P), True
        first = int(np.searchsorted(self.scores, value, side="left"))
        below = int(self.ranks[first - 1]) + 1 if first else 0
        return (1 + self.count - below) / (self.count + 1), False

    def threshold(self, p: float) -> float:
        """Return the score above which normal sound lies with probability ``p`` at most.

        Up to the largest score the inverse of :meth:`p_value` where all windows are independent.
        Where ``p`` is below ``1 / (effective_count + 1)``, it lies beyond the largest score, the
        further the fewer independent scores are known: the scale of their tail is uncertain, and
        an alarm needs exceedances in three blocks, so ``p`` is what the cube of the probability
        to exceed the threshold has on average over the scales that are possible.

        Raises
        ------
        ValueError
            If ``p`` is not in (0, 1).
        """
        if not MIN_P <= p < 1:
            msg = f"a threshold needs a probability in (0, 1), got {p!r}"
            raise ValueError(msg)
        # 1e-9: 0.001 * 1000 must count as 1 although floating point may put it just below.
        allowed = math.floor(p * (self.count + 1) + 1e-9)
        if allowed >= 1 and p * (self.effective_count + 1) + 1e-9 >= 1:
            index = int(np.searchsorted(self.ranks, self.count - allowed, side="left"))
            return float(self.scores[index])
        depth = -math.log(p * (self.effective_count + 1))
        # With an inverse scale of gamma distribution, E[exp(-3 x / scale)] = (1 + 3 x / k)^-k.
        shape = self.tail_shape + BOUTS_FOR_ALARM / (self.tail_excesses + _SCALE_PRIOR_WEIGHT)
        excess = math.expm1(shape * depth) / shape
        return float(self.scores[-1]) + self.tail_scale * excess

    def spaced_scores(self, count: int) -> npt.NDArray[np.float64]:
        """Return at most ``count`` scores, evenly spaced in rank, ascending."""
        ranks = np.linspace(0, self.count - 1, min(max(count, 1), self.count))
        return np.interp(ranks, self.ranks, self.scores)

    def _compute_tail_survival(self, excess: float) -> float:
        """Return the probability of exceeding the largest score by ``excess`` scales, given it."""
        if self.tail_shape > 0:
            return math.exp(-math.log1p(self.tail_shape * excess) / self.tail_shape)
        return math.exp(-excess)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Calibration):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.count, self.tail_scale, self.tail_shape))

    def to_dict(self) -> dict[str, object]:
        """Return JSON-ready values that :meth:`from_dict` restores exactly."""
        return {
            "count": self.count,
            "tail_scale": self.tail_scale,
            "tail_shape": self.tail_shape,
            "scores": self.scores.tolist(),
            "ranks": self.ranks.tolist() if len(self.scores) < self.count else None,
            "usual": None if self.normal_range is None else self.normal_range.to_dict(),
            "effective": self.effective_count,
        } | ({} if self.minute_limit is None else {"minute_limit": self.minute_limit.to_dict()})

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Restore a calibration from :meth:`to_dict`.

        Raises
        ------
        ValueError
            If a value is missing, not finite, or does not fit the others.
        """
        count, normal_range = values.get("count"), values.get("usual")
        if type(count) is not int or count < 2:
            raise ValueError(f"count: expected an integer of at least 2, got {count!r}")
        scores = _read_numbers(values.get("scores"), "scores")
        ranks = np.arange(len(scores))
        if values.get("ranks") is not None:
            ranks = _read_numbers(values["ranks"], "ranks").astype(int)
        if len(scores) < 2 or len(scores) != len(ranks):
            raise ValueError("scores and ranks: expected lists of one length, at least 2")
        if np.any(np.diff(scores) < 0) or np.any(np.abs(scores) > _MAX_SCORE):
            raise ValueError("scores: expected ascending values below 1e100 in size")
        if np.any(np.diff(ranks) <= 0) or ranks[0] != 0 or ranks[-1] != count - 1:
            raise ValueError("ranks: expected to rise from 0 to count - 1")
        scale = _read_number(values.get("tail_scale"), "tail_scale", 0, math.inf)
        shape = _read_number(values.get("tail_shape"), "tail_shape", 0, _MAX_SHAPE)
        if scale == 0:
            raise ValueError("tail_scale: expected more than 0")
        effective = _read_number(values.get("effective", count), "effective", 0, count)
        minute_limit = values.get("minute_limit")
        return cls(
            _make_read_only(scores),
            _make_read_only(ranks),
            count,
            scale,
            shape,
            None if normal_range is None else NormalRange.from_dict(normal_range),
            effective,
            None if minute_limit is None else FalseAlarmLimit.from_dict(minute_limit),
        )


def _fit_tail(ordered: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Estimate scale at the largest score, and shape, of a generalised Pareto tail."""
    n = len(ordered)
    size = _count_tail_scores(n)
    excess = ordered[-size:] - ordered[-size - 1]
    mean = float(excess.mean())
    # Hosking and Wallis 1987: a1 = E[x (1 - F(x))] with plotting positions (j - 0.35) / n, and
    # shape = 2 - a0 / (a0 - 2 a1) in our sign (theirs is k = -shape).
    upper = 1 - (np.arange(size) + 0.65) / size
    spread = mean - 2 * float((upper * excess).mean())
    shape = 2 - mean / spread if spread > 1e-9 * mean else 0.0
    # The shape of a few excesses is mostly noise, which would move a threshold at 0.1 % far out
    # or far in: shrink it towards 0, as if 40 more excesses of an exponential tail were known.
    shape *= size / (size + _SHAPE_PRIOR_WEIGHT)
    shape = min(max(shape, 0.0), _MAX_SHAPE)
    # mean * (1 - shape) is the scale at the start of the tail. Beyond a higher level the tail is
    # generalised Pareto again, with the scale increased by shape times the distance.
    scale = mean * (1 - shape) + shape * float(excess[-1])
    # Tied or constant scores: with a tail of no width, rounding errors would be anomalies.
    min_scale = max(0.1 * float(ordered.std()), 1e-4 * float(np.abs(ordered).max()), 1e-12)
    return max(scale, min_scale), shape


def _count_tail_scores(count: int) -> int:
    """Return how many of the largest scores the tail is fitted to."""
    size = max(math.ceil(_TAIL_FRACTION * count), min(_MIN_TAIL_SCORES, count // 2))
    return min(size, _MAX_TAIL_SCORES)


def _select_stored_ranks(count: int) -> npt.NDArray[np.int64]:
    """Return the ranks of the scores that are stored: of many, all in the tail and some below."""
    if count <= _MAX_STORED_SCORES:
        return np.arange(count)
    split = count - _STORED_TAIL_SCORES
    spaced = np.linspace(0, split - 1, _MAX_STORED_SCORES - _STORED_TAIL_SCORES)
    return np.concatenate([spaced.round().astype(np.int64), np.arange(split, count)])


def _make_read_only(values: npt.NDArray[_Kind]) -> npt.NDArray[_Kind]:
    values.flags.writeable = False
    return values


def _read_numbers(values: object, name: str) -> npt.NDArray[np.float64]:
    if not isinstance(values, Sequence) or not all(map(is_number, values)):
        raise ValueError(f"{name}: expected a list of numbers")
    numbers = np.asarray(values, dtype=np.float64)
    if not np.all(np.isfinite(numbers)):
        raise ValueError(f"{name}: expected finite numbers")
    return numbers


def _read_number(value: object, name: str, low: float, high: float) -> float:
    if not is_number(value) or not low <= value <= high:
        raise ValueError(f"{name}: expected a number in [{low}, {high}], got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value!r}")
    return float(value)
