"""Score the feature groups of one target: two backends for each, and filters of bands."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_monitor.backends.band_responses import BandResponses, fit_band_responses, response_bands
from asd_monitor.backends.density_neighbours import fit_density_neighbours
from asd_monitor.backends.lof import fit_lof
from asd_monitor.backends.mahalanobis import fit_whitening
from asd_monitor.backends.matched_filters import MatchedFilters, fit_matched_filters
from asd_monitor.features import FEATURE_GROUP_NAMES, MODULATION_EDGES_HZ

BACKENDS_PER_GROUP = 2
MIN_STD = 0.05  # of a logarithm of power: about 0.2 dB
LEVEL_UNIT = 0.35  # 1.5 dB: smaller changes of level come from mounting and the room
MIN_RADIUS = 0.1  # in standard deviations of normal sound: closer windows count as equal
GROUP_NAMES = (*FEATURE_GROUP_NAMES, "floor")
FILTERED_GROUP_NAMES = ("floor", *FEATURE_GROUP_NAMES[1:])
"""Groups that have bands: all but the level. The floor is first: with little sound, it is the only
one that has a filter."""
RESPONDING_GROUP_NAMES = ("floor", "spread")
"""Groups whose bands have responses."""
FUSED_SCORES = BACKENDS_PER_GROUP * len(FEATURE_GROUP_NAMES)
VOICE_NAMES = (
    *(name for group in GROUP_NAMES for name in (group, f"{group} in detail")),
    *(f"{group} in bands" for group in FILTERED_GROUP_NAMES),
)
MIN_LEVEL_SCALE = 0.3  # so that a step of 3 dB is a clear change, and one of 1.5 dB is not


class GroupScorer(nn.Module):
    """Two scores of one feature group: LOF, and density-normalised neighbours after whitening."""

    mean: Tensor
    inverse_std: Tensor

    def __init__(
        self,
        mean: Tensor,
        std: Tensor,
        lof: nn.Module,
        whitening: nn.Module,
        neighbours: nn.Module,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("inverse_std", std.reciprocal())
        self.lof = lof
        self.whitening = whitening
        self.neighbours = neighbours

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(2, batch)`` of ``(batch, dims)``; both are about 1 for normal sound."""
        scaled = (features - self.mean) * self.inverse_std
        return torch.stack([self.lof(scaled), self.neighbours(self.whitening(scaled))])


def fit_group(name: str, features: Tensor, excluded: Tensor) -> GroupScorer:
    """Fit the backends of one feature group.

    Parameters
    ----------
    name
        One of :data:`GROUP_NAMES`.
    features
        ``(items, dims)`` of normal windows.
    excluded
        ``(items, items)``: True where two windows must not be neighbours of each other.
    """
    mean = features.mean(0)
    if name == "level":
        # In decibels instead of standard deviations: a machine with two loads has a large
        # standard deviation, with which every level between the two would look normal.
        std, min_radius = torch.full_like(mean, LEVEL_UNIT), 1.0
    else:
        std = (features.var(0, correction=0) + MIN_STD**2).sqrt()
        min_radius = MIN_RADIUS * math.sqrt(features.shape[1])
    scaled = (features - mean) / std
    lof = fit_lof(scaled, excluded, count=4, min_reach=min_radius)
    whitening = nn.Identity() if name == "level" else fit_whitening(scaled, min_variance=1e-3)
    neighbours = fit_density_neighbours(whitening(scaled), excluded, min_radius=min_radius)
    return GroupScorer(mean, std, lof, whitening, neighbours)


def append_floor_and_bands(features: list[Tensor], log_mel: Tensor, mel: Tensor) -> list[Tensor]:
    """Return the features of all groups, followed by the floor and the log power in mel bands.

    The floor is the log power in each band that a tenth of the frames do not exceed, relative to
    its mean over bands. Knocks, words and strokes of the machine change it little, so that faint
    constant noise, as of a leak, or a tone is found in it.

    Parameters
    ----------
    features
        Of :data:`~asd_monitor.features.FEATURE_GROUP_NAMES`: the level, the spectrum relative to
        it, ...
    log_mel
        ``(batch, frames, bands)``: log power in mel bands.
    mel
        ``(bins, bands)``: filters of the bands.
    """
    rank = log_mel.shape[1] // 10 + 1
    floor = torch.kthvalue(log_mel, rank, dim=1)[0]
    bands = features[0] + torch.matmul(features[1], mel)
    return features + [floor - floor.mean(1, keepdim=True), bands]  # noqa: RUF005 - TorchScript


class TargetScorer(nn.Module):
    """The scorers of all feature groups of one target.

    Parameters
    ----------
    scorers
        One per feature group.
    filters
        Matched filters of the first of ``FILTERED_GROUP_NAMES``; or none.
    responses
        Those of the bands of ``RESPONDING_GROUP_NAMES``; or none.
    """

    def __init__(
        self,
        scorers: Sequence[nn.Module],
        filters: Sequence[MatchedFilters] = (),
        responses: Sequence[BandResponses] = (),
    ) -> None:
        super().__init__()
        self.floor = len(scorers) - 1
        self.responding = [GROUP_NAMES.index(name) for name in RESPONDING_GROUP_NAMES]
        self.scorers = nn.ModuleList(scorers)
        self.filters = nn.ModuleList(filters)
        self.responses = nn.ModuleList(responses)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return ``(batch, voices)`` of groups ``(batch, dims)`` each.

        These are log scores, two of each group and one of each filter, and responses of bands.
        """
        scores: list[Tensor] = []
        for index, scorer in enumerate(self.scorers):
            scores.append(scorer(features[index]))
        columns = [to_log_scores(torch.cat(scores))]
        for index, filters in enumerate(self.filters):
            group = features[self.floor if index == 0 else index]
            columns.append(filters(group)[:, None])
        for index, responses in enumerate(self.responses):
            columns.append(responses(features[self.responding[index]]))
        return torch.cat(columns, dim=1)


def to_log_scores(scores: Tensor) -> Tensor:
    """Return log scores ``(batch, n)`` of scores ``(n, batch)``.

    Scores below 0.5 only differ in how normal a window is; the offset compresses them.
    """
    return (scores + 0.5).log().t()


def fit_group_filters(
    names: Sequence[str],
    features: Sequence[Tensor],
    bank: Tensor,
    excluded: Tensor,
    folds: Tensor,
) -> tuple[list[MatchedFilters], Tensor]:
    """Fit the matched filters of one target.

    Parameters
    ----------
    names
        The first of ``FILTERED_GROUP_NAMES``.
    features
        Of :func:`append_floor_and_bands`, ``(items, dims)`` each.
    bank, excluded, folds
        As for :func:`~asd_monitor.backends.matched_filters.fit_matched_filters`.

    Returns
    -------
    list of MatchedFilters
        One for each name.
    torch.Tensor
        ``(items, filters)`` held-out log scores.
    """
    fitted = []
    for name in names:
        group = features[GROUP_NAMES.index(name)]
        rows = len(MODULATION_EDGES_HZ) - 1 if name == "modulation" else 1
        fitted.append(fit_matched_filters(group, bank, excluded, folds, rows))
    return [filters for filters, _ in fitted], torch.stack([held for _, held in fitted], dim=1)


def fit_group_responses(
    features: Sequence[Tensor], blocks: Tensor, folds: Tensor
) -> tuple[list[BandResponses], Tensor]:
    """Fit the responses of the bands of one target.

    Parameters
    ----------
    features
        Of :func:`append_floor_and_bands`, ``(items, dims)`` each; of windows that do not overlap.
    blocks, folds
        As for :func:`~asd_monitor.backends.band_responses.fit_band_responses`.

    Returns
    -------
    list of BandResponses
        One for each of ``RESPONDING_GROUP_NAMES``.
    torch.Tensor
        ``(items, responses)``: held-out responses.
    """
    fitted = [
        fit_band_responses(features[GROUP_NAMES.index(name)], blocks, folds)
        for name in RESPONDING_GROUP_NAMES
    ]
    return [responses for responses, _ in fitted], torch.cat([held for _, held in fitted], dim=1)


def name_responses(band_hz: Tensor) -> list[str]:
    """Return the names of the responses of bands whose centres are ``(bands,)``."""
    ranges = [
        f"{band_hz[first]:.0f} to {band_hz[last]:.0f} Hz"
        for first, last in response_bands(len(band_hz))
    ]
    return [
        f"{group} in {name}, {way}"
        for group in RESPONDING_GROUP_NAMES
        for way in ("higher", "lower")
        for name in ranges
    ]
