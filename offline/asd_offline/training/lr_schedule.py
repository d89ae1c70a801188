"""Learning rate schedules, stepped once per epoch."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from asd_offline.recipes import Recipe


def lr_factor(recipe: Recipe, epoch: int) -> float:
    """Return the factor of ``learning_rate`` in an epoch, counted from 0.

    It is 1 in the first ``constant_epochs`` and in the epoch after them, with which the schedule
    begins. ``cosine`` then decreases along half a cosine, which reaches ``final_learning_rate``
    after ``cosine_epochs``, and ``halving`` halves in each epoch down to ``final_learning_rate``.
    """
    since = epoch - recipe.constant_epochs
    if since <= 0 or recipe.schedule == "constant":
        return 1.0
    final = recipe.final_learning_rate / recipe.learning_rate
    if recipe.schedule == "halving":
        return max(0.5**since, final)
    cosine_epochs = recipe.cosine_epochs or max(1, recipe.epochs - recipe.constant_epochs)
    progress = since / cosine_epochs
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def make_lr_scheduler(recipe: Recipe, optimizer: Optimizer) -> LambdaLR:
    """Return the scheduler, to be stepped at the end of each epoch."""
    return LambdaLR(optimizer, lambda epoch: lr_factor(recipe, epoch))
