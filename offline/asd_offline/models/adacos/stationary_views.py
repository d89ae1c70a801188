"""Typical spectra without what comes and goes: the directions in which normal sound moves."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_monitor.quickstart.network import TargetScorer

MOVING_SHARE = 0.25
"""Of the directions of a spectrum, those in which it moves most from frame to frame."""
STILL = 1e-9
"""Of the variance of the liveliest direction; less is rounding."""


class Steady(nn.Module):
    """One view with a target's lively directions taken out."""

    matrix: Tensor

    def __init__(self, place: int, matrix: Tensor) -> None:
        super().__init__()
        self.place = place
        self.register_buffer("matrix", matrix)

    def forward(self, views: list[Tensor]) -> Tensor:
        """Return ``(batch, dims)``."""
        return torch.matmul(views[self.place], self.matrix)


class SteadyViews(nn.Module):
    """The feature groups and, before the embeddings, the steady part of some of them.

    How often a valve happens to open in a window, or someone next door to strike, moves the
    window's mean spectrum along the directions in which frames differ from one another. What is
    left without those directions hardly differs between normal windows, so a weak steady fault
    shows. A linear autoencoder's signed error, averaged over the window; an autoencoder's score
    squares it frame by frame, where a weak steady fault is lost in what each frame does at random.

    Parameters
    ----------
    first_embedding
        How many views come before the embeddings.
    parts
        The views added.
    """

    def __init__(self, first_embedding: int, parts: Sequence[Steady]) -> None:
        super().__init__()
        self.first_embedding = first_embedding
        self.parts = nn.ModuleList(parts)

    def forward(self, views: list[Tensor]) -> list[Tensor]:
        """Return ``(batch, dims)`` each."""
        whole = views[: self.first_embedding]
        for part in self.parts:
            whole.append(part(views))
        return whole + views[self.first_embedding :]


def fit_steady(place: int, movement: Tensor) -> Steady:
    """Find a target's lively directions.

    Parameters
    ----------
    place
        Of the view among the views.
    movement
        ``(dims, dims)``: covariance of the frames about the mean of their window.
    """
    variances, directions = torch.linalg.eigh(movement.double())
    lively = directions[:, -round(MOVING_SHARE * len(movement)) :]
    lively = lively[:, variances[-lively.shape[1] :] > STILL * variances[-1].clamp_min(1e-12)]
    rest = torch.eye(len(movement)).double() - lively @ lively.t()
    return Steady(place, rest.float().contiguous())


class SteadyScorer(nn.Module):
    """A target's scorers, with its steady views among the views."""

    def __init__(self, steady: SteadyViews, scorer: TargetScorer) -> None:
        super().__init__()
        self.steady = steady
        self.scorer = scorer

    def forward(self, views: list[Tensor]) -> Tensor:
        """Return ``(batch, scores)`` log scores of the views, ``(batch, dims)`` each."""
        scores: Tensor = self.scorer(self.steady(views))
        return scores
