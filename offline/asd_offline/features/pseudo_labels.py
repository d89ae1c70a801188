"""Classes for normal sound that has no labels: clusters of it, and what was done to it.

A network that tells apart can be trained on one machine all the same: on the kinds of sound that
clustering finds in it (as Kuroyanagi et al., arXiv 2505.18980), and on whether and how a window
was altered (as Inoue et al., DCASE 2020 Task 2: speed, pitch, filter).
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from asd_monitor.features import FEATURE_GROUP_NAMES, FeatureGroups

CLUSTERS_AT_MOST = 8
WINDOWS_PER_CLUSTER = 10
COMPONENTS = 16
CLUSTER_VIEWS = ("spectrum", "spread", "modulation")

ALTERATIONS = ("none", "slower", "faster", "boosted", "cut")
UNALTERED_SHARE = 0.5
SPEEDS = {"slower": (0.8, 0.93), "faster": (1.07, 1.25)}
GAINS_DB = {"boosted": (6.0, 15.0), "cut": (-15.0, -6.0)}
OCTAVES = (0.2, 0.7)
LONGEST_STRETCH = 1.25
"""So many windows of sound are needed to make one."""


def window_statistics(windows: Iterable[Tensor], sample_rate_hz: int) -> Tensor:
    """Return ``(windows, dims)`` log statistics of windows ``(samples,)`` of equal length."""
    views: FeatureGroups | None = None
    rows = []
    for window in windows:
        if views is None:
            views = FeatureGroups(sample_rate_hz, len(window)).eval()
        with torch.no_grad():
            parts = dict(zip(FEATURE_GROUP_NAMES, views(window[None]), strict=True))
        rows.append(torch.cat([parts[name] for name in CLUSTER_VIEWS], dim=1))
    return torch.cat(rows)


def cluster(statistics: Tensor, clusters: int | None = None) -> Tensor:
    """Return the cluster ``(windows,)`` int64 of each row of ``(windows, dims)``.

    k-means on the leading principal components of standardised statistics; the same rows give the
    same clusters.

    Parameters
    ----------
    statistics
        Of normal windows.
    clusters
        How many; one for ten windows, but 2 to 8, if None.
    """
    from sklearn.cluster import KMeans

    count = clusters or min(max(len(statistics) // WINDOWS_PER_CLUSTER, 2), CLUSTERS_AT_MOST)
    if count < 2 or len(statistics) <= count:
        return torch.zeros(len(statistics), dtype=torch.int64)
    rows = statistics.double()
    rows = (rows - rows.mean(0)) / rows.std(0, correction=0).clamp_min(1e-3)
    count = min(count, len(torch.unique(rows, dim=0)))
    if count < 2:
        return torch.zeros(len(statistics), dtype=torch.int64)
    directions = torch.linalg.svd(rows, full_matrices=False).Vh[:COMPONENTS]
    found = KMeans(count, n_init=10, random_state=0).fit_predict((rows @ directions.t()).numpy())
    return torch.from_numpy(found).long()


def draw_alterations(batch: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw the place in :data:`ALTERATIONS` ``(batch,)`` of each window; half stay unaltered."""
    kinds = torch.randint(1, len(ALTERATIONS), (batch,), generator=generator)
    altered = torch.rand(batch, generator=generator) >= UNALTERED_SHARE
    return kinds * altered


def alter(
    sound: Tensor, kind: int, window_samples: int, generator: torch.Generator | None = None
) -> Tensor:
    """Return a window ``(window_samples,)`` of sound, altered.

    Parameters
    ----------
    sound
        ``(samples,)``, at least ``LONGEST_STRETCH * window_samples``.
    kind
        Place in :data:`ALTERATIONS`: speed and pitch together, or a peak or dip of the filter.
    window_samples
        Length of the result.
    generator
        Source of chance for how much; torch's own if None.
    """
    name = ALTERATIONS[kind]
    if name in SPEEDS:
        speed = _between(*SPEEDS[name], generator)
        return change_speed(sound[: math.floor(speed * window_samples)], window_samples)
    window = sound[:window_samples]
    if name in GAINS_DB:
        place = _between(0.1, 1.0, generator) ** 2  # of the band; low frequencies more often
        width = _between(*OCTAVES, generator)
        return filter_bump(window, _between(*GAINS_DB[name], generator), place, width)
    return window


def change_speed(sound: Tensor, samples: int) -> Tensor:
    """Play ``(n,)`` in ``samples``, so that all pitches change by ``n / samples``."""
    spectrum = torch.fft.rfft(sound)
    played: Tensor = torch.fft.irfft(spectrum[: samples // 2 + 1], samples)
    return played * (samples / len(sound))


def filter_bump(sound: Tensor, gain_db: float, place: float, octaves: float) -> Tensor:
    """Raise or lower ``(n,)`` by ``gain_db`` about ``place``, a share of half the sample rate."""
    spectrum = torch.fft.rfft(sound)
    share = torch.linspace(0.0, 1.0, len(spectrum)).clamp_min(1e-4)
    bump = torch.exp(-0.5 * ((share / place).log2() / octaves).square())
    filtered: Tensor = torch.fft.irfft(spectrum * 10.0 ** (gain_db / 20.0 * bump), len(sound))
    return filtered


def _between(low: float, high: float, generator: torch.Generator | None) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
