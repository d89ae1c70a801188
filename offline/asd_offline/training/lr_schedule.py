"""How the learning rate changes from epoch to epoch."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from asd_offline.recipes import Recipe


def share_of_rate(recipe: Recipe, epoch: int) -> float:
    """Return what to multiply ``learning_rate`` with in an epoch, counted from 0.

    The first ``constant_epochs`` have it whole. Then ``cosine`` falls to ``final_learning_rate``
    along half a cosine, and ``halving`` halves it each epoch.
    """
    since = epoch - recipe.constant_epochs
    if since <= 0 or recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "halving":
        return max(0.5**since, recipe.final_learning_rate / recipe.learning_rate)
    progress = since / max(1, recipe.epochs - recipe.constant_epochs)
    least = recipe.final_learning_rate / recipe.learning_rate
    return least + (1.0 - least) * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def schedule_of(recipe: Recipe, optimizer: Optimizer) -> LambdaLR:
    """Return the schedule, to be stepped at the end of each epoch."""
    return LambdaLR(optimizer, lambda epoch: share_of_rate(recipe, epoch))
