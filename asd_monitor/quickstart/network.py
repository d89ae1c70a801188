"""The module inside a quick-start model file: waveform to feature groups to backends to a score.

Every feature group is scored by two backends. How much their scores vary for normal sound
depends on the group and the machine, so each is standardised by its scores of held-out normal
windows. A fault usually changes only some groups, and which ones is not known beforehand. The
fused score is therefore the log-mean-exp of the standardised scores: close to their mean while
they agree, and close to the largest once one exceeds the others by several standard deviations.

Matched filters search each group, except the level, for small changes of a few neighbouring bands.
They are further voices for the alarm and not part of the fused score.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_monitor.backends.density_neighbours import fit_density_neighbours
from asd_monitor.backends.lof import fit_lof
from asd_monitor.backends.mahalanobis import fit_whitening
from asd_monitor.backends.matched_filters import MatchedFilters, fit_matched_filters
from asd_monitor.backends.per_target import PerTarget
from asd_monitor.features import FEATURE_GROUP_NAMES, MODULATION_EDGES_HZ, FeatureGroups

BACKENDS_PER_GROUP = 2
BATCH = 4
"""Windows scored at a time on the CPU: their spectrograms then stay in the processor's cache."""
MIN_STD = 0.05  # of a logarithm of power: about 0.2 dB
LEVEL_UNIT = 0.35  # 1.5 dB: smaller changes of level come from mounting and the room
MIN_RADIUS = 0.1  # in standard deviations of normal sound: closer windows count as equal
MIN_SCALE = 0.025
MIN_VOICE_SCALE = 0.01  # of the mean over a block, which varies less than single windows
FILTERED_GROUP_NAMES = FEATURE_GROUP_NAMES[1:]
"""Groups that have bands: all but the level, which is the first."""
VOICE_NAMES = (
    *(name for group in FEATURE_GROUP_NAMES for name in (group, f"{group} in detail")),
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
        One of :data:`~asd_monitor.features.FEATURE_GROUP_NAMES`.
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


class TargetScorer(nn.Module):
    """The scorers of all feature groups of one target.

    Parameters
    ----------
    scorers
        One per feature group.
    filters
        Matched filters of all groups but the first; or none.
    """

    def __init__(
        self, scorers: Sequence[nn.Module], filters: Sequence[MatchedFilters] = ()
    ) -> None:
        super().__init__()
        self.scorers = nn.ModuleList(scorers)
        self.filters = nn.ModuleList(filters)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return log scores ``(batch, groups * 2 + filters)`` of groups ``(batch, dims)`` each."""
        scores: list[Tensor] = []
        for index, scorer in enumerate(self.scorers):
            scores.append(scorer(features[index]))
        # Scores below 0.5 only differ in how normal a window is; the offset compresses them.
        columns = [(torch.cat(scores) + 0.5).log().t()]
        for index, filters in enumerate(self.filters):
            columns.append(filters(features[index + 1])[:, None])
        return torch.cat(columns, dim=1)


def fit_target_scorer(
    features: Sequence[Tensor], excluded: Tensor, filters: Sequence[MatchedFilters] = ()
) -> TargetScorer:
    """Fit the scorers of one target; arguments as for :func:`fit_group`, one tensor per group."""
    pairs = zip(FEATURE_GROUP_NAMES, features, strict=True)
    scorers = [fit_group(name, group, excluded) for name, group in pairs]
    for scorer, group_filters in zip(scorers[1:], filters, strict=False):
        # The same windows, standardised equally: they are stored once in the model file.
        group_filters.share_bank(scorer.lof.get_buffer("bank"))
    return TargetScorer(scorers, filters)


def fit_group_filters(
    features: Sequence[Tensor], bank: Tensor, excluded: Tensor, folds: Tensor
) -> tuple[list[MatchedFilters], Tensor]:
    """Fit the matched filters of one target.

    Parameters
    ----------
    features
        Of all groups, ``(items, dims)`` each.
    bank, excluded, folds
        As for :func:`~asd_monitor.backends.matched_filters.fit_matched_filters`.

    Returns
    -------
    list of MatchedFilters
        One for each of ``FILTERED_GROUP_NAMES``.
    torch.Tensor
        ``(items, filters)`` held-out log scores.
    """
    fitted = []
    for name, group in zip(FILTERED_GROUP_NAMES, features[1:], strict=True):
        rows = len(MODULATION_EDGES_HZ) - 1 if name == "modulation" else 1
        fitted.append(fit_matched_filters(group, bank, excluded, folds, rows))
    return [filters for filters, _ in fitted], torch.stack([held for _, held in fitted], dim=1)


class Fusion(nn.Module):
    """Log-mean-exp of scores, each standardised by its scores of held-out normal sound.

    Only the first scores are fused, as many as there are scales; matched filters follow them.
    """

    centre: Tensor
    inverse_scale: Tensor

    def __init__(self, centre: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.count = len(centre)
        self.register_buffer("centre", centre)
        self.register_buffer("inverse_scale", scale.reciprocal())

    def forward(self, scores: Tensor) -> Tensor:
        """Return ``(batch,)`` of log scores ``(batch, count)``."""
        scaled = (scores[:, : self.count] - self.centre) * self.inverse_scale
        return torch.logsumexp(scaled, dim=1) - math.log(self.count)


def fit_fusion(held_out: Tensor) -> Fusion:
    """Fit the scales on held-out scores ``(items, groups * 2)`` of normal windows."""
    min_scale = torch.full((held_out.shape[1],), MIN_SCALE)
    min_scale[:BACKENDS_PER_GROUP] = MIN_LEVEL_SCALE  # level is the first group
    centre = held_out.median(0).values
    return Fusion(centre, torch.maximum(held_out.std(0, correction=0), min_scale))


class FusedScores(nn.Module):
    """Fused score and voices of every window, by the scorer and the fusion of its target.

    Parameters
    ----------
    scorers
        One per target: feature groups to log scores ``(batch, scores)``.
    fusions
        One per target.
    """

    def __init__(self, scorers: Sequence[nn.Module], fusions: Sequence[Fusion]) -> None:
        super().__init__()
        self.count = len(scorers)
        self.scorers = nn.ModuleList(scorers)
        self.fusions = nn.ModuleList(fusions)

    def forward(self, features: list[Tensor], target: Tensor) -> Tensor:
        """Return ``(batch, 1 + voices)`` of feature groups, ``(batch, dims)`` each.

        The first column is the fused score, the others are the log scores of all voices.
        """
        if self.count == 1:  # without selecting rows it takes a tenth of the time
            for scorer, fusion in zip(self.scorers, self.fusions):  # noqa: B905 - TorchScript knows no strict
                voices: Tensor = scorer(features)
                return torch.cat([fusion(voices).unsqueeze(1), voices], dim=1)
        parts: list[Tensor] = []
        order: list[Tensor] = []
        for index, (scorer, fusion) in enumerate(zip(self.scorers, self.fusions)):  # noqa: B905 - TorchScript knows no strict
            rows = torch.nonzero(target == index).flatten()
            if rows.numel() > 0:
                voices = scorer([group[rows] for group in features])
                parts.append(torch.cat([fusion(voices).unsqueeze(1), voices], dim=1))
                order.append(rows)
        if len(parts) == 0:
            return features[0].new_zeros(0, 1)
        return torch.cat(parts)[torch.cat(order).argsort()]


def min_voice_scales() -> list[float]:
    """Return the smallest scale of each voice of a target, in the order of ``VOICE_NAMES``."""
    others = len(VOICE_NAMES) - BACKENDS_PER_GROUP
    return [MIN_LEVEL_SCALE] * BACKENDS_PER_GROUP + [MIN_VOICE_SCALE] * others


class Evidence(nn.Module):
    """Deviation from normal by band and frame, in standard deviations."""

    mean: Tensor
    inverse_std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("inverse_std", std.reciprocal())

    def forward(self, log_mel: Tensor) -> Tensor:
        """Return ``(batch, bands, frames)`` of ``(batch, frames, bands)``."""
        return ((log_mel - self.mean) * self.inverse_std).transpose(1, 2)


class QuickstartDetector(nn.Module):
    """Waveform to score, with reference windows of each target.

    Parameters
    ----------
    groups
        The features, which all targets share.
    scorers, fusions, evidences
        One of each for every target.
    """

    def __init__(
        self,
        groups: FeatureGroups,
        scorers: Sequence[TargetScorer],
        fusions: Sequence[Fusion],
        evidences: Sequence[Evidence],
    ) -> None:
        super().__init__()
        self.batch = BATCH
        self.groups = groups
        self.scores = FusedScores(scorers, fusions)
        self.evidences = PerTarget(evidences)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)``, higher = more anomalous.

        Parameters
        ----------
        waveform
            ``(batch, window_samples)`` float32 in [-1, 1].
        target
            ``(batch,)`` int64, indexes the manifest's targets.
        """
        return self.voices(waveform, target)[:, 0]

    @torch.jit.export
    def voices(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, 1 + voices)``: the score, and the log scores of all voices."""
        if waveform.is_cuda:
            scores: Tensor = self.scores(self.groups(waveform), target)
            return scores
        batches: list[Tensor] = []
        for start in range(0, waveform.shape[0], self.batch):
            features = self.groups(waveform[start : start + self.batch])
            batches.append(self.scores(features, target[start : start + self.batch]))
        return torch.cat(batches) if len(batches) > 0 else waveform.new_zeros(0, 1)

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, bands, frames)``: signed deviation in standard deviations."""
        deviation: Tensor = self.evidences(self.groups.log_mel(waveform), target)
        return deviation
