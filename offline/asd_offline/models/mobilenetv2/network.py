"""MobileNetV2 with Keras' padding and constants, and the section classifier with its loss.

Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", CVPR 2018, table 2.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from asd_offline.features.frontends import Masking
from asd_offline.models.mobilenetv2.recipe import MobileNetV2Recipe

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and stride of the first block."""
STEM_CHANNELS = 32
LAST_CHANNELS = 1280
NORM_EPSILON = 1e-3


def scaled_channels(channels: int, alpha: float) -> int:
    """Return ``alpha * channels``, rounded to a multiple of 8 that is at least 90 % of it."""
    scaled = channels * alpha
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8


class ConvBlock(nn.Module):
    """Convolution, batch normalisation and, unless ``linear``, ReLU6.

    With stride 2, an even size is padded at its end only, as in Keras.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: int,
        stride: int = 1,
        *,
        depthwise: bool = False,
        linear: bool = False,
        momentum: float,
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride
        self.linear = linear
        groups = channels_in if depthwise else 1
        self.conv = nn.Conv2d(channels_in, channels, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels, NORM_EPSILON, momentum)
        nn.init.xavier_uniform_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, ceil(height / stride), ceil(width / stride))``."""
        if self.kernel > 1:
            edge = self.kernel // 2
            top, left = edge, edge
            if self.stride > 1:
                top, left = edge - (1 - x.shape[2] % 2), edge - (1 - x.shape[3] % 2)
            x = F.pad(x, [left, edge, top, edge])
        x = self.norm(self.conv(x))
        return x if self.linear else F.relu6(x)


class InvertedResidual(nn.Module):
    """Expand, convolve depthwise, project; with a shortcut where the sizes match (table 1)."""

    def __init__(
        self, channels_in: int, channels: int, stride: int, expansion: int, momentum: float
    ) -> None:
        super().__init__()
        expanded = channels_in * expansion
        self.shortcut = stride == 1 and channels_in == channels
        layers: list[nn.Module] = []
        if expansion > 1:
            layers.append(ConvBlock(channels_in, expanded, 1, momentum=momentum))
        layers.append(ConvBlock(expanded, expanded, 3, stride, depthwise=True, momentum=momentum))
        layers.append(ConvBlock(expanded, channels, 1, linear=True, momentum=momentum))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, ceil(height / stride), ceil(width / stride))``."""
        residual: Tensor = self.layers(x)
        return x + residual if self.shortcut else residual


class MobileNetV2(nn.Module):
    """Images of three channels to logits.

    Parameters
    ----------
    classes
        Number of logits.
    alpha
        Factor of all widths but the last.
    momentum
        Of batch normalisation, as torch defines it.
    """

    def __init__(self, classes: int, alpha: float = 0.5, momentum: float = 0.001) -> None:
        super().__init__()
        channels_in = scaled_channels(STEM_CHANNELS, alpha)
        layers: list[nn.Module] = [ConvBlock(3, channels_in, 3, 2, momentum=momentum)]
        for expansion, channels, blocks, first_stride in STAGES:
            width = scaled_channels(channels, alpha)
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                layers.append(InvertedResidual(channels_in, width, stride, expansion, momentum))
                channels_in = width
        last = scaled_channels(LAST_CHANNELS, max(1.0, alpha))
        layers.append(ConvBlock(channels_in, last, 1, momentum=momentum))
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(last, classes)
        nn.init.xavier_uniform_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(batch, classes)`` of ``(batch, 3, height, width)``."""
        maps: Tensor = self.layers(images)  # (batch, last channels, height', width')
        logits: Tensor = self.classifier(maps.mean((2, 3)))
        return logits


def to_images(segments: Tensor) -> Tensor:
    """Return ``(batch, 3, frames, bands)`` of ``(batch, frames, bands)``: three equal channels."""
    return segments.unsqueeze(1).expand(-1, 3, -1, -1)


class SectionClassifier(nn.Module):
    """The network with its loss, the cross-entropy.

    Parameters
    ----------
    recipe
        Sizes of the network and of the masks.
    class_names
        Names of the ids or sections, in the order of the labels.
    mean_spectrum
        ``(bands,)``: mean decibels of the machine's clips, which masks are filled with.
    """

    usual: Tensor

    def __init__(
        self, recipe: MobileNetV2Recipe, class_names: Sequence[str], mean_spectrum: Tensor
    ) -> None:
        super().__init__()
        self.class_names = tuple(class_names)
        self.network = MobileNetV2(len(self.class_names), recipe.alpha, recipe.batch_norm_momentum)
        share = recipe.masked_share
        bands, frames = int(share * recipe.n_mels), int(share * recipe.segment_frames)
        self.masking = Masking(bands, frames) if share else None
        self.register_buffer("usual", mean_spectrum)

    def forward(self, segments: Tensor, label: Tensor) -> Tensor:
        """Compute the loss, a scalar.

        Parameters
        ----------
        segments
            ``(batch, frames, bands)`` decibels.
        label
            ``(batch,)`` int64.
        """
        if self.masking is not None:
            segments = self.masking(segments - self.usual) + self.usual
        return F.cross_entropy(self.network(to_images(segments)), label)
