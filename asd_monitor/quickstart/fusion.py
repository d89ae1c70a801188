"""Fuse the scores of all feature groups into the score of a window."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_monitor.quickstart.group_scores import BACKENDS_PER_GROUP, MIN_LEVEL_SCALE

MIN_SCALE = 0.025
MIN_VOICE_SCALE = 0.01  # of the mean over a block, which varies less than single windows
MIN_RESPONSE_SCALE = 0.7  # responses of bands are in standard deviations of a block


class Fusion(nn.Module):
    """Log-mean-exp of scores, each standardised by its scores of held-out normal sound.

    Only the first scores are fused, as many as there are scales; those of the floor and the matched
    filters follow them.
    """

    centre: Tensor
    inverse_scale: Tensor

    def __init__(self, centre: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.count = len(centre)
        self.register_buffer("centre", centre)
        self.register_buffer("inverse_scale", scale.reciprocal())

    def forward(self, scores: Tensor) -> Tensor:
        """Return ``(batch,)`` of log scores ``(batch, count)``."""
        scaled = (scores[:, : self.count] - self.centre) * self.inverse_scale
        return torch.logsumexp(scaled, dim=1) - math.log(self.count)


def fit_fusion(held_out: Tensor) -> Fusion:
    """Fit the scales on held-out scores ``(items, groups * 2)`` of normal windows."""
    min_scale = torch.full((held_out.shape[1],), MIN_SCALE)
    min_scale[:BACKENDS_PER_GROUP] = MIN_LEVEL_SCALE  # level is the first group
    centre = held_out.median(0).values
    return Fusion(centre, torch.maximum(held_out.std(0, correction=0), min_scale))


class FusedScores(nn.Module):
    """Fused score and voices of every window, by the scorer and the fusion of its target.

    Parameters
    ----------
    scorers
        One per target: feature groups to log scores ``(batch, scores)``.
    fusions
        One per target.
    """

    def __init__(self, scorers: Sequence[nn.Module], fusions: Sequence[Fusion]) -> None:
        super().__init__()
        self.count = len(scorers)
        self.scorers = nn.ModuleList(scorers)
        self.fusions = nn.ModuleList(fusions)

    def forward(self, features: list[Tensor], target: Tensor) -> Tensor:
        """Return ``(batch, 1 + voices)`` of feature groups, ``(batch, dims)`` each.

        The first column is the fused score, the others are the log scores of all voices.
        """
        if self.count == 1:  # without selecting rows it takes a tenth of the time
            for scorer, fusion in zip(self.scorers, self.fusions):  # noqa: B905 - TorchScript knows no strict
                voices: Tensor = scorer(features)
                return torch.cat([fusion(voices).unsqueeze(1), voices], dim=1)
        parts: list[Tensor] = []
        order: list[Tensor] = []
        for index, (scorer, fusion) in enumerate(zip(self.scorers, self.fusions)):  # noqa: B905 - TorchScript knows no strict
            rows = torch.nonzero(target == index).flatten()
            if rows.numel() > 0:
                voices = scorer([group[rows] for group in features])
                parts.append(torch.cat([fusion(voices).unsqueeze(1), voices], dim=1))
                order.append(rows)
        if len(parts) == 0:
            return features[0].new_zeros(0, 1)
        return torch.cat(parts)[torch.cat(order).argsort()]


def min_voice_scales(scores: int, responses: int) -> list[float]:
    """Return the smallest scale of each voice: of log scores, then of responses of bands."""
    levels = [MIN_LEVEL_SCALE] * BACKENDS_PER_GROUP
    others = [MIN_VOICE_SCALE] * (scores - BACKENDS_PER_GROUP)
    return [*levels, *others, *[MIN_RESPONSE_SCALE] * responses]
