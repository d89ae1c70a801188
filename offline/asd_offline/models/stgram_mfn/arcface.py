"""Additive angular margin: ArcFace, and Noisy-ArcMix for mixed sound."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST_SINE = 1e-6
"""Keeps the gradient of the square root finite where an embedding lies on its centre."""


class ArcFace(nn.Module):
    """Scaled cosines to one or several centres per class, the own class at a handicap.

    ``s cos(theta + m)`` for the own class and ``s cos(theta)`` for the others (Deng et al.,
    "ArcFace", CVPR 2019, equation 3). Beyond ``pi - m``, where ``cos(theta + m)`` would rise again,
    the own cosine is lowered by ``m sin(m)`` instead. Of several centres the nearest counts.

    Parameters
    ----------
    dims
        Length of an embedding.
    classes
        How many classes.
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
        self.least_sine = LEAST_SINE
        self.cos_margin = math.cos(margin)
        self.sin_margin = math.sin(margin)
        self.turn = math.cos(math.pi - margin)
        self.handicap = math.sin(math.pi - margin) * margin
        self.weight = nn.Parameter(torch.empty(classes * sub_centres, dims))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, embedding: Tensor) -> Tensor:
        """Return logits ``(batch, classes)`` of ``(batch, dims)``, without any margin."""
        return self.scale * self.cosines(embedding)

    def cosines(self, embedding: Tensor) -> Tensor:
        """Return ``(batch, classes)``: cosine to the nearest centre of each class."""
        cosines = F.linear(F.normalize(embedding, dim=1), F.normalize(self.weight, dim=1))
        return cosines.reshape(-1, self.sub_centres, self.classes).amax(1)

    def with_margin(self, embedding: Tensor, label: Tensor) -> Tensor:
        """Return logits ``(batch, classes)``, the class ``label`` ``(batch,)`` at its handicap."""
        cosines = self.cosines(embedding)
        sines = (1.0 - cosines.square()).clamp(self.least_sine, 1.0).sqrt()
        turned = cosines * self.cos_margin - sines * self.sin_margin
        turned = torch.where(cosines > self.turn, turned, cosines - self.handicap)
        own = F.one_hot(label, self.classes).to(cosines.dtype)
        return self.scale * (own * turned + (1.0 - own) * cosines)


def noisy_arcmix(logits: Tensor, label: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
    """Return the loss of mixed sound, a scalar.

    ``w CE(z, y) + (1 - w) CE(z, y')`` where the logits ``z`` have the margin at ``y`` alone, so it
    is on the wrong class for the part that comes from the partner (Choi and Choi, "Noisy-ArcMix",
    ICASSP 2024).

    Parameters
    ----------
    logits
        ``(batch, classes)`` of the mixed sound, from :meth:`ArcFace.with_margin` with ``label``.
    label, partner
        ``(batch,)`` classes of the two sounds.
    weight
        Share of the first, a scalar.
    """
    first = F.cross_entropy(logits, label)
    second = F.cross_entropy(logits, partner)
    return weight * first + (1.0 - weight) * second
