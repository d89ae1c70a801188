"""Choose the simplest model that is not clearly worse than the best one."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asd_offline.models import MODELS
from asd_offline.replay.plan import QUICKSTART

SIMPLICITY = (QUICKSTART, "modulation_knn", "twfr_gmm", "pretrained", "autoencoder")
"""From the simplest on; the others follow in the order of the registry."""


@dataclass(frozen=True, slots=True)
class Rated:
    """A model and how well it finds injected faults."""

    model: str
    aucs: tuple[float, ...]
    """AUC of each fold, the mean over seeds."""
    behind: float
    """Mean difference to the best model over the folds."""
    standard_error: float
    """Standard error of that difference."""

    @property
    def mean(self) -> float:
        """Mean AUC over folds."""
        return statistics.fmean(self.aucs)

    @property
    def is_clearly_worse(self) -> bool:
        """Whether the difference to the best model exceeds its standard error."""
        return self.behind > self.standard_error


def simplicity(model: str) -> int:
    """Return the rank of a model, 0 for the simplest."""
    order = dict.fromkeys((*SIMPLICITY, *MODELS))
    return list(order).index(model)


def rate(aucs: Mapping[str, Sequence[float]]) -> list[Rated]:
    """Return the models with their differences to the best one, the best first.

    The standard error of a mean over folds is that of Nadeau and Bengio (Machine Learning 52, 2003,
    equation 9): the training parts of K folds overlap, so the variance of the differences is
    multiplied by ``1/K + 1/(K - 1)``, where ``1/(K - 1)`` is the ratio of test to training clips.

    Parameters
    ----------
    aucs
        AUC of each fold by model, the same folds for all.
    """
    means = {model: statistics.fmean(values) for model, values in aucs.items()}
    best = max(means, key=lambda model: (means[model], -simplicity(model)))
    rated = []
    for model, values in aucs.items():
        differences = np.subtract(aucs[best], values)
        folds = len(differences)
        variance = float(np.var(differences, ddof=1)) if folds > 1 else math.inf
        factor = 1 / folds + 1 / max(folds - 1, 1)
        error = 0.0 if model == best else math.sqrt(variance * factor)
        rated.append(Rated(model, tuple(values), float(differences.mean()), error))
    return sorted(rated, key=lambda each: (-each.mean, simplicity(each.model)))


def choose(rated: Sequence[Rated]) -> tuple[Rated, str]:
    """Return the simplest model within one standard error of the best, and what is true of it.

    The rule is that of Breiman, Friedman, Olshen and Stone (Classification and Regression Trees,
    1984, section 3.4.3).
    """
    best = rated[0]
    close = [each for each in rated if not each.is_clearly_worse]
    chosen = min(close, key=lambda each: simplicity(each.model))
    if len(rated) == 1:
        return chosen, f"is the only model that could be rated; its mean AUC is {chosen.mean:.3f}"
    if chosen is best and len(close) == 1:
        others = "every other model is behind by more than one standard error"
        return chosen, f"has the highest mean AUC, {chosen.mean:.3f}, and {others}"
    if chosen is best:
        others = "model" if len(close) == 2 else f"{len(close) - 1} models"
        return chosen, (
            f"has the highest mean AUC, {chosen.mean:.3f}, and is simpler than the other {others} "
            "within one standard error of it"
        )
    return chosen, (
        "is the simplest of the models within one standard error of the best: "
        f"{best.model} is ahead by {chosen.behind:.3f} with a standard error of "
        f"{chosen.standard_error:.3f}"
    )
