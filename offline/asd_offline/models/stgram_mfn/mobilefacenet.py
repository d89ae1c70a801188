"""MobileFaceNet: a small convolutional network of inverted residuals.

Chen et al., "MobileFaceNets", CCBR 2018, and the shallow form of it that STgram-MFN uses.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

Depth = Literal["shallow", "deep"]
STAGES: dict[Depth, tuple[tuple[int, int, int, int], ...]] = {
    "shallow": ((2, 128, 2, 2), (4, 128, 2, 2), (4, 128, 2, 2)),
    "deep": ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)),
}
"""Expansion, channels, blocks, stride of the first block; deep: as in the MobileFaceNet paper."""
STEM_CHANNELS = 64
LAST_CHANNELS = 512


def after_stride_2(size: int) -> int:
    """Return how many values a 3-wide convolution of stride 2, padded by 1, makes of ``size``."""
    return (size - 1) // 2 + 1


class ConvBlock(nn.Module):
    """Convolution, batch normalisation, and PReLU unless ``linear``."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        *,
        depthwise: bool = False,
        linear: bool = False,
    ) -> None:
        super().__init__()
        groups = channels_in if depthwise else 1
        self.conv = nn.Conv2d(
            channels_in, channels, kernel, stride, padding, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(channels)
        self.activation = nn.Identity() if linear else nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, height', width')``."""
        result: Tensor = self.activation(self.norm(self.conv(x)))
        return result


class InvertedResidual(nn.Module):
    """Widen, convolve each channel by itself, narrow; beside a shortcut where sizes allow."""

    def __init__(self, channels_in: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.shortcut = stride == 1 and channels_in == channels
        self.layers = nn.Sequential(
            ConvBlock(channels_in, wide, (1, 1)),
            ConvBlock(wide, wide, (3, 3), stride, 1, depthwise=True),
            ConvBlock(wide, channels, (1, 1), linear=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, height', width')``."""
        result: Tensor = self.layers(x)
        return x + result if self.shortcut else result


class MobileFaceNet(nn.Module):
    """Images to embeddings, and where there are ``classes`` also to logits.

    Parameters
    ----------
    height, width
        Of the images: the last depthwise convolution spans what is left of them.
    channels_in
        Of the images.
    dims
        Length of an embedding.
    classes
        Outputs of a linear layer behind the embedding; 0: there is none.
    depth
        Which blocks.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels_in: int = 2,
        dims: int = 128,
        classes: int = 0,
        depth: Depth = "shallow",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            ConvBlock(channels_in, STEM_CHANNELS, (3, 3), 2, 1),
            ConvBlock(STEM_CHANNELS, STEM_CHANNELS, (3, 3), 1, 1, depthwise=True),
        ]
        height, width, before = after_stride_2(height), after_stride_2(width), STEM_CHANNELS
        for expansion, channels, blocks, first_stride in STAGES[depth]:
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                layers.append(InvertedResidual(before, channels, stride, expansion))
                before = channels
            if first_stride == 2:
                height, width = after_stride_2(height), after_stride_2(width)
        self.layers = nn.Sequential(
            *layers,
            ConvBlock(before, LAST_CHANNELS, (1, 1)),
            ConvBlock(LAST_CHANNELS, LAST_CHANNELS, (height, width), depthwise=True, linear=True),
            ConvBlock(LAST_CHANNELS, dims, (1, 1), linear=True),
        )
        self.classifier = nn.Linear(dims, classes) if classes else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                area = module.kernel_size[0] * module.kernel_size[1]
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / (area * module.out_channels)))

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings ``(batch, dims)`` of ``(batch, channels_in, height, width)``."""
        embedding: Tensor = self.layers(images)
        return embedding.flatten(1)

    def logits(self, embedding: Tensor) -> Tensor:
        """Return ``(batch, classes)`` of embeddings ``(batch, dims)``."""
        if self.classifier is None:
            return torch.zeros(embedding.shape[0], 0, device=embedding.device)
        logits: Tensor = self.classifier(embedding)
        return logits
