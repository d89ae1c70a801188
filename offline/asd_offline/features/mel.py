"""Mel scales and mel filters.

Two scales are in use: that of HTK, ``2595 log10(1 + f / 700)``, and Slaney's (Auditory Toolbox,
1998), linear to 1 kHz and logarithmic above.
"""

import math
from typing import Literal

import torch
from torch import Tensor

MelScaleName = Literal["htk", "slaney"]

SLANEY_HZ_PER_MEL = 200.0 / 3.0
SLANEY_BREAK_HZ = 1000.0
SLANEY_BREAK_MEL = SLANEY_BREAK_HZ / SLANEY_HZ_PER_MEL
SLANEY_LOG_STEP = math.log(6.4) / 27.0
"""Above 1 kHz, 27 mel are a factor of 6.4."""


def hz_to_mel(frequency_hz: float, scale: MelScaleName) -> float:
    """Convert Hz to mel."""
    if scale == "htk":
        return 2595.0 * math.log10(1.0 + frequency_hz / 700.0)
    if frequency_hz < SLANEY_BREAK_HZ:
        return frequency_hz / SLANEY_HZ_PER_MEL
    return SLANEY_BREAK_MEL + math.log(frequency_hz / SLANEY_BREAK_HZ) / SLANEY_LOG_STEP


def mel_to_hz(mel: Tensor, scale: MelScaleName) -> Tensor:
    """Convert mel to Hz, elementwise."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    logarithmic = SLANEY_BREAK_HZ * torch.exp(SLANEY_LOG_STEP * (mel - SLANEY_BREAK_MEL))
    return torch.where(mel < SLANEY_BREAK_MEL, SLANEY_HZ_PER_MEL * mel, logarithmic)


def band_edges_hz(bands: int, f_min_hz: float, f_max_hz: float, scale: MelScaleName) -> Tensor:
    """Return ``bands + 2`` frequencies in Hz, equidistant in mel: edges and centres of the bands.

    Band ``b`` is a triangle from edge ``b`` over its centre ``b + 1`` to ``b + 2``.
    """
    low, high = hz_to_mel(f_min_hz, scale), hz_to_mel(f_max_hz, scale)
    return mel_to_hz(torch.linspace(low, high, bands + 2), scale)


def mel_filters(
    bins: int,
    bands: int,
    sample_rate_hz: int,
    *,
    f_min_hz: float = 0.0,
    f_max_hz: float | None = None,
    scale: MelScaleName = "htk",
    norm: Literal["slaney"] | None = None,
) -> Tensor:
    """Return triangular filters ``(bins, bands)``, float32, for spectra of ``bins`` bins.

    Parameters
    ----------
    bins
        Bins of the spectrum, ``n_fft // 2 + 1``, from 0 Hz to half the sample rate.
    bands
        Mel bands.
    sample_rate_hz
        Sample rate of the sound.
    f_min_hz, f_max_hz
        Lowest and highest edge in Hz; by default 0 and half the sample rate.
    scale
        Mel scale.
    norm
        ``slaney``: triangles of equal area; None: of height 1.
    """
    nyquist_hz = sample_rate_hz // 2
    top_hz = float(nyquist_hz) if f_max_hz is None else f_max_hz
    edges = band_edges_hz(bands, f_min_hz, top_hz, scale)
    widths = edges.diff()
    offsets = edges - torch.linspace(0, nyquist_hz, bins)[:, None]  # (bins, bands + 2)
    rising = -offsets[:, :-2] / widths[:-1]
    falling = offsets[:, 2:] / widths[1:]
    filters = torch.minimum(rising, falling).clamp_min(0.0)
    return filters * (2.0 / (edges[2:] - edges[:-2])) if norm == "slaney" else filters
