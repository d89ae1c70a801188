"""The module inside a quick-start model file: waveform to feature groups to backends to a score.

Every feature group is scored by two backends. How much their scores vary for normal sound
depends on the group and the machine, so each is standardised by its scores of held-out normal
windows. A fault usually changes only some groups, and which ones is not known beforehand. The
fused score is therefore the log-mean-exp of the standardised scores: close to their mean while
they agree, and close to the largest once one exceeds the others by several standard deviations.

The floor of the spectrum is scored alike. Matched filters search it, and with enough sound each
group except the level, for small changes of a few neighbouring bands. All these are further voices
for the alarm and not part of the fused score.

No voice depends on the gain. A change of level counts only as far as it remains when the change
that all bands have in common is subtracted from it; that change is measured separately, for the
rule ``level`` of the alarm.
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
GROUP_NAMES = (*FEATURE_GROUP_NAMES, "floor")
FILTERED_GROUP_NAMES = ("floor", *FEATURE_GROUP_NAMES[1:])
"""Groups that have bands: all but the level. The floor is first: with little sound, it is the only
one that has a filter."""
FUSED_SCORES = BACKENDS_PER_GROUP * len(FEATURE_GROUP_NAMES)
VOICE_NAMES = (
    *(name for group in GROUP_NAMES for name in (group, f"{group} in detail")),
    *(f"{group} in bands" for group in FILTERED_GROUP_NAMES),
)
MIN_LEVEL_SCALE = 0.3  # so that a step of 3 dB is a clear change, and one of 1.5 dB is not
MIN_BAND_STD = 0.12  # 0.5 dB
LOWEST_OCTAVE_HZ = 250.0
"""Bands up to here are one group for the common change; each further group is an octave."""
OCTAVE_TOLERANCE = 0.12  # 0.5 dB
CHANGED_GAIN_DB = 1.5
GATE_MARGIN = 1.0  # standard deviations by which the level may exceed the prominence
DB_PER_NEPER = 10.0 / math.log(10.0)  # of the natural logarithm of power


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
    its mean over bands. Knocks, words and strokes of the machine hardly change it, so that faint
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
    """

    def __init__(
        self, scorers: Sequence[nn.Module], filters: Sequence[MatchedFilters] = ()
    ) -> None:
        super().__init__()
        self.floor = len(scorers) - 1
        self.scorers = nn.ModuleList(scorers)
        self.filters = nn.ModuleList(filters)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return log scores ``(batch, groups * 2 + filters)`` of groups ``(batch, dims)`` each."""
        scores: list[Tensor] = []
        for index, scorer in enumerate(self.scorers):
            scores.append(scorer(features[index]))
        columns = [_log_scores(torch.cat(scores))]
        for index, filters in enumerate(self.filters):
            group = features[self.floor if index == 0 else index]
            columns.append(filters(group)[:, None])
        return torch.cat(columns, dim=1)


def _log_scores(scores: Tensor) -> Tensor:
    """Return log scores ``(batch, n)`` of scores ``(n, batch)``.

    Scores below 0.5 only differ in how normal a window is; the offset compresses them.
    """
    return (scores + 0.5).log().t()


class CommonChange(nn.Module):
    """Change of level that all bands have in common: what a change of gain does.

    It is the weighted median over bands of their change. The weight is the inverse square of the
    band's variance: sounds of the surroundings change the bands that vary anyway. Most mel bands
    are high, and a fault may raise all of them. Therefore the change is at most that of each octave
    group but one, and ``OCTAVE_TOLERANCE``: the lowest octave often has little of the machine.

    Parameters
    ----------
    reference
        ``(bands,)``: median log power in mel bands of normal sound.
    weights
        ``(1 + groups, bands)`` of all bands, and of those of each group; each row has the sum 1.
    """

    reference: Tensor
    weights: Tensor

    def __init__(self, reference: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.tolerance = OCTAVE_TOLERANCE
        self.register_buffer("reference", reference)
        self.register_buffer("weights", weights)

    def forward(self, bands: Tensor) -> Tensor:
        """Return ``(batch, 1)``, a natural logarithm of power, of bands ``(batch, bands)``."""
        change, order = (bands - self.reference).sort(dim=1)
        below = (self.weights[:, order].cumsum(dim=2) < 0.5).sum(dim=2)
        medians = change.gather(1, below.t().clamp_max(change.shape[1] - 1))
        overall, octaves = medians[:, :1], medians[:, 1:].sort(dim=1).values
        most_louder = (octaves[:, 1:2] + self.tolerance).clamp_min(0.0)
        most_quieter = (octaves[:, -2:-1] - self.tolerance).clamp_max(0.0)
        return torch.maximum(torch.minimum(overall, most_louder), most_quieter)


def fit_common_change(bands: Tensor, band_hz: Tensor) -> CommonChange:
    """Fit the common change to log power in mel bands ``(items, bands)`` of normal windows.

    Parameters
    ----------
    bands
        Log power.
    band_hz
        ``(bands,)``: centres of the bands.
    """
    weights = (bands.var(0, correction=0) + MIN_BAND_STD**2).square().reciprocal()
    group = (band_hz / LOWEST_OCTAVE_HZ).log2().ceil().clamp_min(0.0).long()
    inside = nn.functional.one_hot(group).t()
    rows = torch.cat([weights[None], inside[inside.any(1)] * weights])
    return CommonChange(bands.median(0).values, rows / rows.sum(1, keepdim=True))


class LevelGate(nn.Module):
    """Scores of the level that ignore a change of gain.

    The score of the level counts only as far as the score of the prominence, which is the level
    without the common change, confirms it. It is never higher than the score of the level itself,
    so it raises no further false alarms, and the noise of the common change does not add to it.
    Once the gain has clearly changed, the level itself means nothing: at half the gain, a machine
    that is twice as loud has its usual level. Then the score is that of the prominence alone.

    Parameters
    ----------
    centre, scale
        ``(4,)``: of held-out log scores of the level, and of the prominence.
    """

    centre: Tensor
    inverse_scale: Tensor

    def __init__(self, centre: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.margin = GATE_MARGIN
        self.changed_db = CHANGED_GAIN_DB
        self.unit = MIN_LEVEL_SCALE
        self.register_buffer("centre", centre)
        self.register_buffer("inverse_scale", scale.reciprocal())

    def forward(self, scores: Tensor) -> Tensor:
        """Return ``(batch, 2)``, in a unit near that of log scores.

        Parameters
        ----------
        scores
            ``(batch, 5)``: log scores of level and prominence, and the common change in dB.
        """
        deviation = (scores[:, :4] - self.centre) * self.inverse_scale
        level, prominence = deviation[:, :2], deviation[:, 2:]
        confirmed = torch.minimum(level, prominence + self.margin)
        is_changed = scores[:, 4:].abs() > self.changed_db
        return torch.where(is_changed, prominence, confirmed) * self.unit


def fit_level_gate(held_out: Tensor) -> LevelGate:
    """Fit the scales to ``(items, 5)`` held-out normal windows; see :meth:`LevelGate.forward`."""
    scores = held_out[:, :4]
    scale = scores.std(0, correction=0).clamp_min(MIN_LEVEL_SCALE)
    return LevelGate(scores.median(0).values, scale)


class GainFreeScorer(nn.Module):
    """The scores of one target, none of which depends on the gain; and the common change.

    Parameters
    ----------
    scorer
        Scores all feature groups; the level, which is the first, depends on the gain.
    common_change
        Measures the change of gain.
    prominence
        Scores the level without the common change.
    gate
        Combines the scores of level and prominence; an identity keeps both.
    """

    def __init__(
        self,
        scorer: TargetScorer,
        common_change: CommonChange,
        prominence: GroupScorer,
        gate: nn.Module,
    ) -> None:
        super().__init__()
        self.scorer = scorer
        self.common_change = common_change
        self.prominence = prominence
        self.gate = gate
        self.backends = BACKENDS_PER_GROUP
        self.db_per_neper = DB_PER_NEPER

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return log scores and, in the last column, the common change in dB.

        Parameters
        ----------
        features
            Of :func:`append_floor_and_bands`, ``(batch, dims)`` each.
        """
        scores = self.scorer(features)
        change = self.common_change(features[-1])
        prominence = _log_scores(self.prominence(features[0] - change))
        change_db = change * self.db_per_neper
        level = self.gate(torch.cat([scores[:, : self.backends], prominence, change_db], dim=1))
        return torch.cat([level, scores[:, self.backends :], change_db], dim=1)


def fit_target_scorer(
    features: Sequence[Tensor],
    excluded: Tensor,
    band_hz: Tensor,
    filters: Sequence[MatchedFilters] = (),
    gate: LevelGate | None = None,
) -> GainFreeScorer:
    """Fit the scorers of one target.

    Parameters
    ----------
    features
        Of :func:`append_floor_and_bands`, ``(items, dims)`` each.
    excluded
        As for :func:`fit_group`.
    band_hz
        Centres of the bands.
    filters
        Matched filters of the first of ``FILTERED_GROUP_NAMES``; or none.
    gate
        None: the scores of level and prominence are both returned, to fit a gate to them.
    """
    pairs = zip(GROUP_NAMES, features[:-1], strict=True)
    scorers = [fit_group(name, group, excluded) for name, group in pairs]
    for name, group_filters in zip(FILTERED_GROUP_NAMES, filters, strict=False):
        # The same windows, standardised equally: they are stored once in the model file.
        scorer = scorers[GROUP_NAMES.index(name)]
        group_filters.share_bank(scorer.lof.get_buffer("bank"))
    common_change = fit_common_change(features[-1], band_hz)
    prominence = features[0] - common_change(features[-1])
    return GainFreeScorer(
        TargetScorer(scorers, filters),
        common_change,
        fit_group("level", prominence, excluded),
        nn.Identity() if gate is None else gate,
    )


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


class Fusion(nn.Module):
    """Log-mean-exp of scores, each standardised by its scores of held-out normal sound.

    Only the first scores are fused, as many as there are scales; those of the floor and the matched
    filters follow them.
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
        scorers: Sequence[GainFreeScorer],
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
        return self.measure(waveform, target)[:, 0]

    @torch.jit.export
    def voices(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, 1 + voices)``: the score, and the log scores of all voices."""
        return self.measure(waveform, target)[:, :-1]

    @torch.jit.export
    def measure(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, 1 + voices + 1)``: score, voices, and the common change in dB."""
        if waveform.is_cuda:
            return self._measure(waveform, target)
        batches: list[Tensor] = []
        for start in range(0, waveform.shape[0], self.batch):
            stop = start + self.batch
            batches.append(self._measure(waveform[start:stop], target[start:stop]))
        return torch.cat(batches) if len(batches) > 0 else waveform.new_zeros(0, 2)

    def _measure(self, waveform: Tensor, target: Tensor) -> Tensor:
        power, log_mel, fast_power = self.groups.frames(waveform)
        groups: list[Tensor] = self.groups.from_frames(power, log_mel, fast_power)
        features = append_floor_and_bands(groups, log_mel, self.groups.mel)
        scores: Tensor = self.scores(features, target)
        return scores

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, bands, frames)``: signed deviation in standard deviations."""
        deviation: Tensor = self.evidences(self.groups.log_mel(waveform), target)
        return deviation
