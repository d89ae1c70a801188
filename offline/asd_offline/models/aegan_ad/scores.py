"""The nineteen scores of AEGAN-AD, computed in one pass; higher = more anomalous."""

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.lof import fit_lof
from asd_monitor.backends.mahalanobis import fit_mahalanobis
from asd_monitor.backends.neighbours import fit_neighbours
from asd_monitor.backends.per_target import PerTarget
from asd_offline.models.aegan_ad.recipe import Score

SCORES: tuple[str, ...] = get_args(Score)
EMBEDDING_SCORES = SCORES[-4:]
NEIGHBOURS = 2
LOF_NEIGHBOURS = 4


def aggregate(distance: Tensor) -> Tensor:
    """Return mean, minimum and maximum ``(batch, 3)`` of ``(batch, segments)``."""
    return torch.stack([distance.mean(1), distance.amin(1), distance.amax(1)], dim=1)


def pixel_scores(segments: Tensor, reconstruction: Tensor) -> Tensor:
    """Compute the six ``g_x`` scores ``(batch, 6)``.

    Parameters
    ----------
    segments, reconstruction
        ``(batch, segments, pixels)``.
    """
    error = segments - reconstruction
    l2, l1 = error.square().sum(2), error.abs().sum(2)  # (batch, segments)
    return torch.cat([aggregate(l2), aggregate(l1)], dim=1)


def code_scores(code: Tensor, reconstruction_code: Tensor) -> Tensor:
    """Compute the nine ``g_z`` scores ``(batch, 9)``.

    Parameters
    ----------
    code, reconstruction_code
        Codes of segments and of their reconstructions, ``(batch, segments, dims)``.
    """
    error = code - reconstruction_code
    l2, l1 = error.square().sum(2), error.abs().sum(2)  # (batch, segments)
    cosine = 1.0 - F.cosine_similarity(code, reconstruction_code, dim=2)
    return torch.cat([aggregate(l2), aggregate(l1), aggregate(cosine)], dim=1)


class EmbeddingScores(nn.Module):
    """The four ``d`` scores of mean embeddings, against normal clips of each target."""

    def __init__(
        self,
        mahalanobis: PerTarget,
        neighbours: PerTarget,
        lof: PerTarget,
        centre: PerTarget,
    ) -> None:
        super().__init__()
        self.mahalanobis = mahalanobis
        self.neighbours = neighbours
        self.lof = lof
        self.centre = centre

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch, 4)`` of ``(batch, dims)``."""
        return torch.stack(
            [
                self.mahalanobis(embedding, target),
                self.neighbours(embedding, target),
                self.lof(embedding, target),
                self.centre(embedding, target),
            ],
            dim=1,
        )


def fit_embedding_scores(references: Sequence[Tensor]) -> EmbeddingScores:
    """Fit the four backends.

    Mahalanobis distance with a shrunk covariance (the authors' is singular for few clips), mean
    distance to the two nearest neighbours, local outlier factor with four neighbours, and
    distance to the mean; the last three by cosine.

    Parameters
    ----------
    references
        For each target the mean embeddings ``(clips, dims)`` of normal clips, 2 or more.
    """
    return EmbeddingScores(
        PerTarget([fit_mahalanobis(rows) for rows in references]),
        PerTarget([fit_neighbours(rows, count=NEIGHBOURS, cosine=True) for rows in references]),
        PerTarget([fit_lof(rows, count=LOF_NEIGHBOURS, cosine=True) for rows in references]),
        PerTarget([fit_neighbours(rows.mean(0, keepdim=True), cosine=True) for rows in references]),
    )
