"""The nineteen scores of AEGAN-AD, computed in one pass."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.backends.lof import fit_lof
from asd_monitor.backends.mahalanobis import fit_mahalanobis
from asd_monitor.backends.neighbours import fit_neighbours
from asd_monitor.backends.per_target import PerTarget

Score = Literal[
    "g_x_l2_mean",
    "g_x_l2_min",
    "g_x_l2_max",
    "g_x_l1_mean",
    "g_x_l1_min",
    "g_x_l1_max",
    "g_z_l2_mean",
    "g_z_l2_min",
    "g_z_l2_max",
    "g_z_l1_mean",
    "g_z_l1_min",
    "g_z_l1_max",
    "g_z_cos_mean",
    "g_z_cos_min",
    "g_z_cos_max",
    "d_maha",
    "d_knn",
    "d_lof",
    "d_cos",
]
"""``g``: by the generator, between segments (``x``) or codes (``z``); ``d``: by the embeddings of
the discriminator. ``mean`` over a window's segments is what the original calls ``sum``: windows
have equally many, so the ranks are the same."""

SCORES: tuple[str, ...] = get_args(Score)
EMBEDDING_SCORES = SCORES[-4:]
NEIGHBOURS = 2
LOF_NEIGHBOURS = 4


def by_segment(apart: Tensor) -> Tensor:
    """Return mean, smallest and largest ``(batch, 3)`` of ``(batch, segments)``."""
    return torch.stack([apart.mean(1), apart.amin(1), apart.amax(1)], dim=1)


def pixel_scores(segments: Tensor, rebuilt: Tensor) -> Tensor:
    """Return the first six scores ``(batch, 6)``, of ``(batch, segments, pixels)`` both."""
    apart = segments - rebuilt
    return torch.cat([by_segment(apart.square().sum(2)), by_segment(apart.abs().sum(2))], dim=1)


def code_scores(code: Tensor, recoded: Tensor) -> Tensor:
    """Return the next nine ``(batch, 9)``, of codes ``(batch, segments, channels)`` both."""
    moved = code - recoded
    return torch.cat(
        [
            by_segment(moved.square().sum(2)),
            by_segment(moved.abs().sum(2)),
            by_segment(1.0 - F.cosine_similarity(code, recoded, dim=2)),
        ],
        dim=1,
    )


class EmbeddingScores(nn.Module):
    """The four scores of mean embeddings, against those of normal clips of each target."""

    def __init__(self, maha: PerTarget, knn: PerTarget, lof: PerTarget, centre: PerTarget) -> None:
        super().__init__()
        self.maha = maha
        self.knn = knn
        self.lof = lof
        self.centre = centre

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, 4)`` of ``(batch, dims)``."""
        return torch.stack(
            [
                self.maha(embedding, target),
                self.knn(embedding, target),
                self.lof(embedding, target),
                self.centre(embedding, target),
            ],
            dim=1,
        )


def fit_embedding_scores(references: Sequence[Tensor]) -> EmbeddingScores:
    """Fit the four back ends.

    Mahalanobis distance with a shrunk covariance (the original's is singular for few clips),
    mean distance to the two nearest, local outlier factor of four neighbours, and distance to the
    mean; the last three by cosine.

    Parameters
    ----------
    references
        For each target the mean embeddings ``(clips, dims)`` of normal clips, 2 or more.
    """
    return EmbeddingScores(
        PerTarget([fit_mahalanobis(each) for each in references]),
        PerTarget([fit_neighbours(each, count=NEIGHBOURS, cosine=True) for each in references]),
        PerTarget([fit_lof(each, count=LOF_NEIGHBOURS, cosine=True) for each in references]),
        PerTarget([fit_neighbours(each.mean(0, keepdim=True), cosine=True) for each in references]),
    )
