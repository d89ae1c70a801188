"""MobileNetV2, as Keras builds and counts it.

Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", CVPR 2018, table 2.
"""

from torch import Tensor, nn
from torch.nn import functional as F

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks, stride of the first block."""
STEM_CHANNELS = 32
LAST_CHANNELS = 1280
NORM_EPSILON = 1e-3


def channels_of(channels: int, alpha: float) -> int:
    """Return ``alpha * channels``, to a multiple of 8 that is at least nine tenths of it."""
    wanted = channels * alpha
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * wanted else rounded + 8


class Convolution(nn.Module):
    """Convolution, batch normalisation, and ReLU up to 6 unless ``linear``.

    With stride 2 an even size is padded at its end only, as Keras does.
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
    """Widen, convolve each channel by itself, narrow; beside a shortcut where sizes allow."""

    def __init__(
        self, channels_in: int, channels: int, stride: int, expansion: int, momentum: float
    ) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.shortcut = stride == 1 and channels_in == channels
        layers: list[nn.Module] = []
        if expansion > 1:
            layers.append(Convolution(channels_in, wide, 1, momentum=momentum))
        layers.append(Convolution(wide, wide, 3, stride, depthwise=True, momentum=momentum))
        layers.append(Convolution(wide, channels, 1, linear=True, momentum=momentum))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, ceil(height / stride), ceil(width / stride))``."""
        result: Tensor = self.layers(x)
        return x + result if self.shortcut else result


class MobileNetV2(nn.Module):
    """Images of three channels to logits.

    Parameters
    ----------
    classes
        How many logits.
    alpha
        Factor of all widths but the last.
    momentum
        Of batch normalisation, as torch counts it: Keras' 0.999 is 0.001 here.
    """

    def __init__(self, classes: int, alpha: float = 0.5, momentum: float = 0.001) -> None:
        super().__init__()
        before = channels_of(STEM_CHANNELS, alpha)
        layers: list[nn.Module] = [Convolution(3, before, 3, 2, momentum=momentum)]
        for expansion, channels, blocks, first_stride in STAGES:
            for block in range(blocks):
                stride, width = first_stride if block == 0 else 1, channels_of(channels, alpha)
                layers.append(InvertedResidual(before, width, stride, expansion, momentum))
                before = width
        last = channels_of(LAST_CHANNELS, max(1.0, alpha))
        layers.append(Convolution(before, last, 1, momentum=momentum))
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(last, classes)
        nn.init.xavier_uniform_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(batch, classes)`` of ``(batch, 3, height, width)``."""
        logits: Tensor = self.classifier(self.layers(images).mean((2, 3)))
        return logits


def keras_parameters(network: nn.Module) -> int:
    """Return the number of parameters as Keras counts: running means and variances too."""
    learned = sum(each.numel() for each in network.parameters())
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    return learned + sum(2 * each.num_features for each in norms)
