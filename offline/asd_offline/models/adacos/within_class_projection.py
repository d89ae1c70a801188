"""Remove the directions in which frames differ within a window from features that are means.

The class is a window: directions of high within-class variance are nuisance, and are projected
out. In speaker recognition this is nuisance attribute projection (Solomonoff, Campbell and
Boardman, "Advances in channel compensation for SVM speaker recognition", ICASSP 2005); within-class
covariance normalisation (Hatch, Kajarekar and Stolcke, Interspeech 2006) scales them down instead.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_monitor.quickstart.group_scores import TargetScorer

NUISANCE_FRACTION = 0.25
"""Fraction of the directions that is removed: those of the highest within-window variance."""
MIN_EIGENVALUE = 1e-9
"""Relative to the largest one; smaller eigenvalues are rounding errors."""


class WithinClassProjection(nn.Module):
    """One feature group without the nuisance directions of a target.

    Parameters
    ----------
    group
        Index of the feature group.
    matrix
        ``(dims, dims)``: the projection.
    """

    matrix: Tensor

    def __init__(self, group: int, matrix: Tensor) -> None:
        super().__init__()
        self.group = group
        self.register_buffer("matrix", matrix)

    def forward(self, groups: list[Tensor]) -> Tensor:
        """Return ``(batch, dims)``."""
        return torch.matmul(groups[self.group], self.matrix)


class ProjectedGroups(nn.Module):
    """Feature groups and, between them and the embeddings, projections of some of them.

    How often a valve opens in a window, or an impact occurs nearby, moves the window's mean
    spectrum along the directions in which frames differ from each other. Without those directions,
    normal windows differ little, so a weak stationary fault becomes visible. This is the signed
    error of a linear autoencoder, averaged over the window; the score of an autoencoder squares
    the error of each frame, where random fluctuation masks a weak stationary fault.

    Parameters
    ----------
    group_count
        Number of feature groups, before the embeddings.
    projections
        The projections to add.
    """

    def __init__(self, group_count: int, projections: Sequence[WithinClassProjection]) -> None:
        super().__init__()
        self.group_count = group_count
        self.projections = nn.ModuleList(projections)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return feature groups, projections and embeddings, ``(batch, dims)`` each."""
        extended = features[: self.group_count]
        for projection in self.projections:
            extended.append(projection(features))
        return extended + features[self.group_count :]


class ProjectedScorer(nn.Module):
    """A target's scorers, with its projected groups among the features."""

    def __init__(self, projected_groups: ProjectedGroups, scorer: TargetScorer) -> None:
        super().__init__()
        self.projected_groups = projected_groups
        self.scorer = scorer

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return log scores ``(batch, scores)`` of features ``(batch, dims)`` each."""
        scores: Tensor = self.scorer(self.projected_groups(features))
        return scores


def fit_within_class_projection(group: int, covariance: Tensor) -> WithinClassProjection:
    """Fit the projection that removes the directions of high within-window variance.

    Parameters
    ----------
    group
        Index of the feature group.
    covariance
        ``(dims, dims)``: covariance of frames about the mean of their window.
    """
    dims = len(covariance)
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance.double())  # ascending
    nuisance = eigenvectors[:, -round(NUISANCE_FRACTION * dims) :]
    min_eigenvalue = MIN_EIGENVALUE * eigenvalues[-1].clamp_min(1e-12)
    nuisance = nuisance[:, eigenvalues[-nuisance.shape[1] :] > min_eigenvalue]
    projection = torch.eye(dims).double() - nuisance @ nuisance.t()  # I - V V'
    return WithinClassProjection(group, projection.float().contiguous())
