"""The generator and the discriminator of AEGAN-AD, on segments of 128 frames and 128 bands."""

from typing import Literal

import torch
from torch import Tensor, nn

SIDE = 128
"""Frames and bands of a segment: five halvings down to 4, and a last kernel of 4."""
FACTORS = (1, 2, 4, 8, 16)

Norm = Literal["layer", "batch"]


def norm_of(norm: Norm, channels: int, side: int) -> nn.Module:
    """Return the normalisation of maps ``(channels, side, side)``."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.LayerNorm([channels, side, side])


def start_weights(network: nn.Module) -> None:
    """Draw convolutions from N(0, 0.02), and factors of batch normalisation from N(1, 0.02)."""
    for each in network.modules():
        if isinstance(each, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(each.weight, 0.0, 0.02)
        elif isinstance(each, nn.BatchNorm2d):
            nn.init.normal_(each.weight, 1.0, 0.02)


def halvings(channels: int, norm: Norm, *, first_norm: bool = True) -> nn.Sequential:
    """Return five convolutions from ``(1, 128, 128)`` to ``(16 * channels, 4, 4)``."""
    layers: list[nn.Module] = []
    before, side = 1, SIDE
    for place, factor in enumerate(FACTORS):
        after, side = channels * factor, side // 2
        layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=False))
        if place or first_norm:
            layers.append(norm_of(norm, after, side))
        layers.append(nn.LeakyReLU(0.2))
        before = after
    return nn.Sequential(*layers)


class Generator(nn.Module):
    """An autoencoder: segments to codes and back.

    Parameters
    ----------
    channels
        Of the first convolution; the last of the encoder has 16 times as many.
    code
        Length of a code.
    norm
        After each convolution: of a whole map, or over the batch.
    first_norm
        False: none after the encoder's first convolution.
    """

    def __init__(
        self,
        channels: int = 32,
        code: int = 256,
        norm: Norm = "layer",
        *,
        first_norm: bool = True,
    ) -> None:
        super().__init__()
        widest = channels * FACTORS[-1]
        self.encoder = nn.Sequential(
            halvings(channels, norm, first_norm=first_norm),
            nn.Conv2d(widest, code, 4, bias=False),
        )
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(code, widest, 4, bias=False),
            norm_of(norm, widest, 4),
            nn.ReLU(),
        ]
        side = 4
        for factor in FACTORS[-2::-1]:
            side *= 2
            layers += [
                nn.ConvTranspose2d(2 * channels * factor, channels * factor, 4, 2, 1, bias=False),
                norm_of(norm, channels * factor, side),
                nn.ReLU(),
            ]
        layers += [nn.ConvTranspose2d(channels, 1, 4, 2, 1, bias=False), nn.Tanh()]
        self.decoder = nn.Sequential(*layers)
        start_weights(self)

    def forward(self, segments: Tensor) -> Tensor:
        """Return rebuilt ``(batch, 1, 128, 128)`` in [-1, 1]."""
        rebuilt: Tensor = self.decoder(self.encoder(segments))
        return rebuilt


class Discriminator(nn.Module):
    """Segments to embeddings, and those to how real they look."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        widest = channels * FACTORS[-1]
        self.layers = nn.Sequential(
            halvings(channels, "layer"),
            nn.Conv2d(widest, widest, 4, groups=widest, bias=False),
            nn.Flatten(),
        )
        self.critic = nn.Sequential(nn.LayerNorm(widest), nn.LeakyReLU(0.2), nn.Linear(widest, 1))
        start_weights(self)

    def forward(self, segments: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings ``(batch, 16 * channels)`` and how real ``(batch,)``.

        Parameters
        ----------
        segments
            ``(batch, 1, 128, 128)`` in [-1, 1].
        """
        embedding: Tensor = self.layers(segments)
        return embedding, self.critic(embedding).squeeze(1)


def gradient_penalty(discriminator: nn.Module, real: Tensor, rebuilt: Tensor) -> Tensor:
    """Return how far the critic's gradient is from length one between real and rebuilt, squared.

    Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017, equation 3; a scalar.
    """
    place = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (place * real + (1.0 - place) * rebuilt).requires_grad_()
    critic = discriminator(between)[1]
    (gradient,) = torch.autograd.grad(critic.sum(), between, create_graph=True)
    excess: Tensor = gradient.flatten(1).norm(dim=1) - 1.0
    return excess.square().mean()
