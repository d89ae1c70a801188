"""Mel band centre frequencies."""

import itertools

import numpy as np
from torchaudio.functional import melscale_fbanks

from asd_offline.features.frontends import LogMelSettings


def band_centres_hz(settings: LogMelSettings) -> list[float]:
    """Return the centre of each mel band, rising, to the nearest 0.5 Hz.

    These are the peaks of the triangular filters on a grid of 0.5 Hz, since torchaudio has no
    public conversion between Hz and either mel scale.
    """
    highest = round(settings.f_max_hz or settings.sample_rate_hz / 2)
    filters = melscale_fbanks(
        n_freqs=2 * highest + 1,
        f_min=settings.f_min_hz,
        f_max=highest,
        n_mels=settings.n_mels,
        sample_rate=2 * highest,
        norm=None,
        mel_scale=settings.mel_scale,
    )
    return [float(index) / 2 for index in filters.argmax(dim=0)]


def group_centres_hz(settings: LogMelSettings, groups: int) -> list[float]:
    """Return the mean centre of each of ``groups`` groups of neighbouring bands, in Hz."""
    centres = band_centres_hz(settings)
    edges = [group * settings.n_mels // groups for group in range(groups + 1)]
    return [round(float(np.mean(centres[low:high])), 1) for low, high in itertools.pairwise(edges)]
