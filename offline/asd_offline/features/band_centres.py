"""Centre frequencies of mel bands."""

import itertools

import numpy as np

from asd_offline.features.frontends import LogMelSettings
from asd_offline.features.mel import band_edges_hz


def band_centres_hz(settings: LogMelSettings) -> list[float]:
    """Return the centre of each mel band in Hz, rising, rounded to 0.1."""
    top_hz = settings.f_max_hz or settings.sample_rate_hz / 2
    edges = band_edges_hz(settings.n_mels, settings.f_min_hz, top_hz, settings.mel_scale)
    return [round(centre, 1) for centre in edges[1:-1].tolist()]


def group_centres_hz(settings: LogMelSettings, groups: int) -> list[float]:
    """Return the mean centre of each of ``groups`` groups of neighbouring bands, in Hz."""
    centres = band_centres_hz(settings)
    edges = [group * settings.n_mels // groups for group in range(groups + 1)]
    return [round(float(np.mean(centres[low:high])), 1) for low, high in itertools.pairwise(edges)]
