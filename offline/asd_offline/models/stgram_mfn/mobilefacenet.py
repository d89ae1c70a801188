"""MobileFaceNet: a small convolutional network of inverted residuals.

Chen et al., "MobileFaceNets: Efficient CNNs for accurate real-time face verification on mobile
devices", CCBR 2018, table 1, and the shallower version that STgram-MFN uses.
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
"""Expansion, channels, blocks and stride of the first block; deep: as in the paper."""
STEM_CHANNELS = 64
LAST_CHANNELS = 512


def after_stride_2(size: int) -> int:
    """Return the output size of a 3-wide convolution with stride 2 and padding 1."""
    return (size - 1) // 2 + 1


class ConvBlock(nn.Module):
    """Convolution, batch normalisation and, unless ``linear``, PReLU."""

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
        activation: Tensor = self.activation(self.norm(self.conv(x)))
        return activation


class InvertedResidual(nn.Module):
    """Expand, convolve depthwise, project; with a shortcut where the sizes match.

    Sandler et al., "MobileNetV2", CVPR 2018, table 1.
    """

    def __init__(self, channels_in: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        expanded = channels_in * expansion
        self.shortcut = stride == 1 and channels_in == channels
        self.layers = nn.Sequential(
            ConvBlock(channels_in, expanded, (1, 1)),
            ConvBlock(expanded, expanded, (3, 3), stride, 1, depthwise=True),
            ConvBlock(expanded, channels, (1, 1), linear=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, height', width')``."""
        residual: Tensor = self.layers(x)
        return x + residual if self.shortcut else residual


class MobileFaceNet(nn.Module):
    """Images to embeddings and, with ``classes``, embeddings to logits.

    Parameters
    ----------
    height, width
        Size of the images; the kernel of the last depthwise convolution spans the remaining map.
    channels_in
        Number of channels of the images.
    dims
        Length of an embedding.
    classes
        Outputs of a linear layer after the embedding; 0: no such layer.
    depth
        Which of the :data:`STAGES`.
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
        height, width = after_stride_2(height), after_stride_2(width)
        channels_in = STEM_CHANNELS
        for expansion, channels, blocks, first_stride in STAGES[depth]:
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                layers.append(InvertedResidual(channels_in, channels, stride, expansion))
                channels_in = channels
            if first_stride == 2:
                height, width = after_stride_2(height), after_stride_2(width)
        self.layers = nn.Sequential(
            *layers,
            ConvBlock(channels_in, LAST_CHANNELS, (1, 1)),
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
        embedding: Tensor = self.layers(images)  # (batch, dims, 1, 1)
        return embedding.flatten(1)

    def logits(self, embedding: Tensor) -> Tensor:
        """Return ``(batch, classes)`` of embeddings ``(batch, dims)``."""
        if self.classifier is None:
            return torch.zeros(embedding.shape[0], 0, device=embedding.device)
        logits: Tensor = self.classifier(embedding)
        return logits
