"""Mel band centre frequencies."""

import itertools

import numpy as np
import torch
from torchaudio.functional import melscale_fbanks

from asd_offline.features.frontends import LogMelSettings


def band_centres_hz(settings: LogMelSettings) -> list[float]:
    """Return the centre of each mel band in Hz, rising, rounded to 0.1.

    torchaudio has no public conversion between Hz and mel, so the centres are read from its
    triangular filters: the rising edge of each, a straight line, is continued to its peak at 1.
    """
    highest = round(settings.f_max_hz or settings.sample_rate_hz / 2)
    filters = melscale_fbanks(
        n_freqs=highest + 1,  # a grid of 1 Hz
        f_min=settings.f_min_hz,
        f_max=highest,
        n_mels=settings.n_mels,
        sample_rate=2 * highest,
        norm=None,
        mel_scale=settings.mel_scale,
    )
    first = (filters > 0).int().argmax(dim=0)  # (n_mels,)
    band = torch.arange(settings.n_mels)
    weight, following = filters[first, band], filters[first + 1, band]
    centres = first + (1 - weight) / (following - weight)
    return [round(centre, 1) for centre in centres.tolist()]


def group_centres_hz(settings: LogMelSettings, groups: int) -> list[float]:
    """Return the mean centre of each of ``groups`` groups of neighbouring bands, in Hz."""
    centres = band_centres_hz(settings)
    edges = [group * settings.n_mels // groups for group in range(groups + 1)]
    return [round(float(np.mean(centres[low:high])), 1) for low, high in itertools.pairwise(edges)]
