"""The generator and the discriminator of AEGAN-AD and their losses.

Jiang et al., "Unsupervised anomaly detection and localization of machine audio: a GAN-based
approach", ICASSP 2023 (arXiv 2303.17949). Layers are initialised as in DCGAN (Radford et al.,
ICLR 2016).
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from asd_offline.models.aegan_ad.recipe import SEGMENT_SIZE, AeganAdRecipe, Norm

CHANNEL_FACTORS = (1, 2, 4, 8, 16)
DISCRIMINATOR_STEP, GENERATOR_STEP = 0, 1


def make_norm(norm: Norm, channels: int, size: int) -> nn.Module:
    """Return the normalisation of maps ``(channels, size, size)``."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.LayerNorm([channels, size, size])


def init_weights(network: nn.Module) -> None:
    """Draw kernels from N(0, 0.02) and scales of batch normalisation from N(1, 0.02)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)


def downsampling(channels: int, norm: Norm, *, first_norm: bool = True) -> nn.Sequential:
    """Return five strided convolutions, ``(1, 128, 128)`` to ``(16 * channels, 4, 4)``."""
    layers: list[nn.Module] = []
    channels_in, size = 1, SEGMENT_SIZE
    for index, factor in enumerate(CHANNEL_FACTORS):
        channels_out, size = channels * factor, size // 2
        layers.append(nn.Conv2d(channels_in, channels_out, 4, 2, 1, bias=False))
        if index > 0 or first_norm:
            layers.append(make_norm(norm, channels_out, size))
        layers.append(nn.LeakyReLU(0.2))
        channels_in = channels_out
    return nn.Sequential(*layers)


class Generator(nn.Module):
    """An autoencoder: segments to codes and back.

    Parameters
    ----------
    channels
        Channels of the first convolution; the last of the encoder has 16 times as many.
    code
        Length of a code.
    norm
        Normalisation after each convolution: layer or batch.
    first_norm
        Whether to normalise after the encoder's first convolution.
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
        max_channels = channels * CHANNEL_FACTORS[-1]
        self.encoder = nn.Sequential(
            downsampling(channels, norm, first_norm=first_norm),
            nn.Conv2d(max_channels, code, 4, bias=False),
        )
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(code, max_channels, 4, bias=False),
            make_norm(norm, max_channels, 4),
            nn.ReLU(),
        ]
        size = 4
        for factor in CHANNEL_FACTORS[-2::-1]:
            size *= 2
            layers += [
                nn.ConvTranspose2d(2 * channels * factor, channels * factor, 4, 2, 1, bias=False),
                make_norm(norm, channels * factor, size),
                nn.ReLU(),
            ]
        layers += [nn.ConvTranspose2d(channels, 1, 4, 2, 1, bias=False), nn.Tanh()]
        self.decoder = nn.Sequential(*layers)
        init_weights(self)

    def forward(self, segments: Tensor) -> Tensor:
        """Reconstruct segments.

        Parameters
        ----------
        segments
            ``(batch, 1, 128, 128)`` in [-1, 1]: frames, mel bands.

        Returns
        -------
        torch.Tensor
            ``(batch, 1, 128, 128)`` in [-1, 1].
        """
        code = self.encoder(segments)  # (batch, code, 1, 1)
        reconstruction: Tensor = self.decoder(code)
        return reconstruction


class Discriminator(nn.Module):
    """Segments to embeddings, and those to the critic's value of how real they look."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        max_channels = channels * CHANNEL_FACTORS[-1]
        self.layers = nn.Sequential(
            downsampling(channels, "layer"),
            nn.Conv2d(max_channels, max_channels, 4, groups=max_channels, bias=False),
            nn.Flatten(),
        )
        self.critic = nn.Sequential(
            nn.LayerNorm(max_channels), nn.LeakyReLU(0.2), nn.Linear(max_channels, 1)
        )
        init_weights(self)

    def forward(self, segments: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings ``(batch, 16 * channels)`` and critic values ``(batch,)``.

        Parameters
        ----------
        segments
            ``(batch, 1, 128, 128)`` in [-1, 1].
        """
        embedding: Tensor = self.layers(segments)
        return embedding, self.critic(embedding).squeeze(1)


class AeganAd(nn.Module):
    """Generator and discriminator with their losses.

    Parameters
    ----------
    recipe
        Settings of the networks and losses.
    low, high
        Scalars: levels in dB that become -1 and 1.
    """

    low: Tensor
    high: Tensor

    def __init__(self, recipe: AeganAdRecipe, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.generator = Generator(
            recipe.channels, recipe.code, recipe.generator_norm, first_norm=recipe.first_norm
        )
        self.discriminator = Discriminator(recipe.channels)
        self.penalty_weight = recipe.penalty_weight
        self.matching_weight = recipe.matching_weight
        self.match_deviation = recipe.matching == "mean_and_deviation"
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, decibels: Tensor, step: int = GENERATOR_STEP) -> Tensor:
        """Compute the loss of one optimiser step, a scalar.

        Parameters
        ----------
        decibels
            ``(batch, 128, 128)``.
        step
            0: the discriminator's loss, whose gradient reaches only the discriminator;
            1: the generator's, likewise.
        """
        segments = rescale(decibels, self.low, self.high).unsqueeze(1)  # (batch, 1, 128, 128)
        if step == DISCRIMINATOR_STEP:
            return self.discriminator_loss(segments)
        return self.generator_loss(segments)

    def discriminator_loss(self, real: Tensor) -> Tensor:
        """Compute the Wasserstein loss with gradient penalty for ``(batch, 1, 128, 128)``."""
        with torch.no_grad():
            reconstruction = self.generator(real)
        distance = self.discriminator(reconstruction)[1].mean() - self.discriminator(real)[1].mean()
        penalty = gradient_penalty(self.discriminator, real, reconstruction)
        loss: Tensor = distance + self.penalty_weight * penalty
        return loss

    def generator_loss(self, real: Tensor) -> Tensor:
        """Compute reconstruction error plus feature matching for ``(batch, 1, 128, 128)``."""
        reconstruction = self.generator(real)
        # Detached weights: the gradient passes through the discriminator without reaching it.
        weights = {name: w.detach() for name, w in self.discriminator.named_parameters()}
        expected = functional_call(self.discriminator, weights, (real,))[0]
        embedding = functional_call(self.discriminator, weights, (reconstruction,))[0]
        matching = F.mse_loss(embedding.mean(0), expected.mean(0))
        if self.match_deviation:
            # Over N, as in the authors' program, and not over N - 1.
            deviations = embedding.std(0, correction=0), expected.std(0, correction=0)
            matching = matching + F.mse_loss(*deviations)
        return F.mse_loss(reconstruction, real) + self.matching_weight * matching


def rescale(decibels: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Map decibels linearly so that ``low`` becomes -1 and ``high`` 1."""
    return (decibels - 0.5 * (high + low)) / (0.5 * (high - low))


def gradient_penalty(discriminator: nn.Module, real: Tensor, reconstruction: Tensor) -> Tensor:
    """Compute the mean squared deviation of the critic's gradient norm from 1, a scalar.

    The gradient is taken at random points between each segment and its reconstruction
    (Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017, equation 3).
    """
    position = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (position * real + (1.0 - position) * reconstruction).requires_grad_()
    critic = discriminator(between)[1]
    (gradient,) = torch.autograd.grad(critic.sum(), between, create_graph=True)
    deviation: Tensor = gradient.flatten(1).norm(dim=1) - 1.0
    return deviation.square().mean()
