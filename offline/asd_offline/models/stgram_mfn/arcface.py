"""Additive angular margin: ArcFace, and Noisy-ArcMix for mixed sound."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MIN_SQUARED_SINE = 1e-6
"""Keeps the gradient of the square root finite where an embedding coincides with its centre."""


class ArcFace(nn.Module):
    """Scaled cosines to one or several centres per class, with a margin on the true class.

    ``s cos(theta + m)`` for the true class and ``s cos(theta)`` for the others (Deng et al.,
    "ArcFace", CVPR 2019, equation 3). Beyond ``pi - m``, where ``cos(theta + m)`` would rise again,
    the true class's cosine is lowered by ``m sin(m)`` instead. With several centres per class the
    nearest one counts (Deng et al., "Sub-center ArcFace", ECCV 2020).

    Parameters
    ----------
    dims
        Length of an embedding.
    classes
        Number of classes.
    sub_centres
        Centres of each class.
    margin
        ``m`` in radians.
    scale
        ``s``.
    """

    def __init__(
        self,
        dims: int,
        classes: int,
        sub_centres: int = 1,
        margin: float = 0.7,
        scale: float = 30.0,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.sub_centres = sub_centres
        self.scale = scale
        self.min_squared_sine = MIN_SQUARED_SINE
        self.cos_margin = math.cos(margin)
        self.sin_margin = math.sin(margin)
        self.min_cosine = math.cos(math.pi - margin)
        self.penalty = math.sin(math.pi - margin) * margin
        self.weight = nn.Parameter(torch.empty(classes * sub_centres, dims))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, embedding: Tensor) -> Tensor:
        """Return logits ``(batch, classes)`` of ``(batch, dims)``, without a margin."""
        return self.scale * self.cosines(embedding)

    def cosines(self, embedding: Tensor) -> Tensor:
        """Return ``(batch, classes)``: cosine to the nearest centre of each class."""
        cosines = F.linear(F.normalize(embedding, dim=1), F.normalize(self.weight, dim=1))
        return cosines.reshape(-1, self.sub_centres, self.classes).amax(1)

    def with_margin(self, embedding: Tensor, label: Tensor) -> Tensor:
        """Return logits ``(batch, classes)`` with the margin on the classes ``label`` ``(batch,)``.

        Parameters
        ----------
        embedding
            ``(batch, dims)``.
        label
            ``(batch,)`` int64.
        """
        cosine = self.cosines(embedding)
        sine = (1.0 - cosine.square()).clamp(self.min_squared_sine, 1.0).sqrt()
        shifted = cosine * self.cos_margin - sine * self.sin_margin  # cos(theta + m)
        shifted = torch.where(cosine > self.min_cosine, shifted, cosine - self.penalty)
        is_label = F.one_hot(label, self.classes).to(cosine.dtype)
        return self.scale * (is_label * shifted + (1.0 - is_label) * cosine)


def noisy_arcmix(logits: Tensor, label: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
    """Compute the loss of mixed sound, a scalar.

    ``w CE(z, y) + (1 - w) CE(z, y')`` where the logits ``z`` have the margin at ``y`` only, so it
    is on the wrong class for the part that comes from the partner (Choi and Choi, "Noisy-ArcMix",
    ICASSP 2024).

    Parameters
    ----------
    logits
        ``(batch, classes)`` of the mixed sound, from :meth:`ArcFace.with_margin` with ``label``.
    label, partner
        ``(batch,)`` int64: classes of the two sounds.
    weight
        Weight of the first sound, a scalar.
    """
    first = F.cross_entropy(logits, label)
    second = F.cross_entropy(logits, partner)
    return weight * first + (1.0 - weight) * second
