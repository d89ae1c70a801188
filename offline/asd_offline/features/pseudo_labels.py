"""Pseudo-classes for normal sound without labels: clusters, and augmentations.

With them a classifier can be trained on a single machine: on clusters of its sound (as Kuroyanagi
et al., arXiv 2505.18980), and on whether and how a window was augmented (as Inoue et al., DCASE
2020 Task 2: speed, pitch, filter).
"""

import math
from collections.abc import Iterable

import torch
from torch import Generator, Tensor

from asd_monitor.features import FEATURE_GROUP_NAMES, FeatureGroups

MAX_CLUSTERS = 8
WINDOWS_PER_CLUSTER = 10
COMPONENTS = 16
CLUSTER_GROUPS = ("spectrum", "spread", "modulation")

AUGMENTATIONS = ("none", "slower", "faster", "boosted", "cut")
UNCHANGED_FRACTION = 0.5
SPEEDS = {"slower": (0.8, 0.93), "faster": (1.07, 1.25)}
GAINS_DB = {"boosted": (6.0, 15.0), "cut": (-15.0, -6.0)}
WIDTHS_OCTAVES = (0.2, 0.7)
MAX_SPEED = 1.25
"""Windows of sound that are needed for one window of the fastest speed."""


def window_statistics(windows: Iterable[Tensor], sample_rate_hz: int) -> Tensor:
    """Compute log statistics ``(windows, dims)`` of windows ``(samples,)`` of equal length."""
    groups: FeatureGroups | None = None
    rows = []
    for window in windows:
        if groups is None:
            groups = FeatureGroups(sample_rate_hz, len(window)).eval()
        with torch.no_grad():
            values = dict(zip(FEATURE_GROUP_NAMES, groups(window[None]), strict=True))
        rows.append(torch.cat([values[name] for name in CLUSTER_GROUPS], dim=1))
    return torch.cat(rows)


def cluster(statistics: Tensor, clusters: int | None = None) -> Tensor:
    """Assign each row of ``(windows, dims)`` to a cluster ``(windows,)`` int64.

    k-means on the leading principal components of standardised statistics; the same rows give the
    same clusters.

    Parameters
    ----------
    statistics
        Of normal windows.
    clusters
        Their number; None: one for ten windows, but 2 to 8.
    """
    from sklearn.cluster import KMeans

    count = clusters or min(max(len(statistics) // WINDOWS_PER_CLUSTER, 2), MAX_CLUSTERS)
    if count < 2 or len(statistics) <= count:
        return torch.zeros(len(statistics), dtype=torch.int64)
    rows = statistics.double()
    rows = (rows - rows.mean(0)) / rows.std(0, correction=0).clamp_min(1e-3)
    count = min(count, len(torch.unique(rows, dim=0)))
    if count < 2:
        return torch.zeros(len(statistics), dtype=torch.int64)
    directions = torch.linalg.svd(rows, full_matrices=False).Vh[:COMPONENTS]
    components = (rows @ directions.t()).numpy()
    return torch.from_numpy(KMeans(count, n_init=10, random_state=0).fit_predict(components)).long()


def draw_augmentations(batch: int, generator: Generator | None = None) -> Tensor:
    """Draw indices into :data:`AUGMENTATIONS` ``(batch,)``; half of the windows are unchanged."""
    kinds = torch.randint(1, len(AUGMENTATIONS), (batch,), generator=generator)
    changed = torch.rand(batch, generator=generator) >= UNCHANGED_FRACTION
    return kinds * changed


def augment(
    sound: Tensor, kind: int, window_samples: int, generator: Generator | None = None
) -> Tensor:
    """Return an augmented window ``(window_samples,)`` of sound.

    Parameters
    ----------
    sound
        ``(samples,)``, at least ``MAX_SPEED * window_samples``.
    kind
        Index into :data:`AUGMENTATIONS`: speed and pitch together, or a peak or dip of a filter.
    window_samples
        Length of the result.
    generator
        Source of randomness for the amount; torch's default if None.
    """
    name = AUGMENTATIONS[kind]
    if name in SPEEDS:
        speed = _uniform(*SPEEDS[name], generator)
        return change_speed(sound[: math.floor(speed * window_samples)], window_samples)
    window = sound[:window_samples]
    if name in GAINS_DB:
        centre = _uniform(0.1, 1.0, generator) ** 2  # squared: low frequencies more often
        width = _uniform(*WIDTHS_OCTAVES, generator)
        return parametric_eq(window, _uniform(*GAINS_DB[name], generator), centre, width)
    return window


def change_speed(sound: Tensor, samples: int) -> Tensor:
    """Play ``(n,)`` in ``samples`` samples, which changes all pitches by ``n / samples``."""
    spectrum = torch.fft.rfft(sound)
    played: Tensor = torch.fft.irfft(spectrum[: samples // 2 + 1], samples)
    return played * (samples / len(sound))


def parametric_eq(sound: Tensor, gain_db: float, centre: float, width_octaves: float) -> Tensor:
    """Amplify ``(n,)`` by up to ``gain_db`` around ``centre``, relative to half the sample rate."""
    spectrum = torch.fft.rfft(sound)
    frequency = torch.linspace(0.0, 1.0, len(spectrum)).clamp_min(1e-4)
    shape = torch.exp(-0.5 * ((frequency / centre).log2() / width_octaves).square())
    filtered: Tensor = torch.fft.irfft(spectrum * 10.0 ** (gain_db / 20.0 * shape), len(sound))
    return filtered


def _uniform(low: float, high: float, generator: Generator | None) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
