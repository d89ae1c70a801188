"""Resampling by a band-limited kernel, as a module that can be scripted into a model file."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ZERO_CROSSINGS = 6
"""Zero crossings of the kernel's sinc on each side of its centre."""
ROLLOFF = 0.99
"""Cutoff as a part of half the lower rate."""


def resampling_kernel(from_hz: int, to_hz: int) -> tuple[Tensor, int]:
    """Return one filter for each output sample of a period, and the samples before its first tap.

    Output sample ``j`` of a period lies at ``j / to_hz``; its filter is a sinc with the cutoff
    0.99 times half the lower rate under a squared cosine (Hann window) of six zero crossings on
    each side (J. O. Smith, Digital Audio Resampling).

    Parameters
    ----------
    from_hz, to_hz
        The two rates divided by their greatest common divisor.

    Returns
    -------
    Tensor
        ``(to_hz, 1, taps)``, float32.
    int
        Samples before the first one that the filters reach.
    """
    cutoff = min(from_hz, to_hz) * ROLLOFF
    reach = math.ceil(ZERO_CROSSINGS * from_hz / cutoff)
    taps = torch.arange(-reach, reach + from_hz, dtype=torch.float64) / from_hz
    phases = torch.arange(0, -to_hz, -1) / to_hz  # float32, as published networks were trained
    crossings = (phases[:, None, None] + taps) * cutoff
    crossings = crossings.clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(crossings * (math.pi / ZERO_CROSSINGS / 2)) ** 2
    kernel = torch.sinc(crossings) * window * (cutoff / from_hz)
    return kernel.float(), reach


class Resampling(nn.Module):
    """Resample ``(batch, samples)`` from the model's rate to that of a pretrained network."""

    kernel: Tensor

    def __init__(self, from_hz: int, to_hz: int) -> None:
        super().__init__()
        divisor = math.gcd(from_hz, to_hz)
        self.from_hz, self.to_hz = from_hz // divisor, to_hz // divisor
        kernel, self.reach = resampling_kernel(self.from_hz, self.to_hz)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, ceil(samples * to_hz / from_hz))``."""
        if self.from_hz == self.to_hz:
            return waveform
        samples = waveform.shape[1]
        padded = F.pad(waveform, (self.reach, self.reach + self.from_hz))
        periods = F.conv1d(padded[:, None], self.kernel, stride=self.from_hz)
        resampled = periods.transpose(1, 2).reshape(waveform.shape[0], -1)
        length = (samples * self.to_hz + self.from_hz - 1) // self.from_hz
        return resampled[:, :length]
