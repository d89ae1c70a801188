"""Remove the gain from the scores of one target, and measure the change that all bands share."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_monitor.backends.band_responses import BandResponses
from asd_monitor.backends.matched_filters import MatchedFilters
from asd_monitor.quickstart.group_scores import (
    BACKENDS_PER_GROUP,
    FILTERED_GROUP_NAMES,
    GROUP_NAMES,
    MIN_LEVEL_SCALE,
    GroupScorer,
    TargetScorer,
    fit_group,
    to_log_scores,
)

MIN_BAND_STD = 0.12  # 0.5 dB
LOWEST_OCTAVE_HZ = 250.0
"""Bands up to here are one group for the common change; each further group is an octave."""
OCTAVE_TOLERANCE = 0.12  # 0.5 dB
CHANGED_GAIN_DB = 1.5
GATE_MARGIN = 1.0  # standard deviations by which the level may exceed the prominence
DB_PER_NEPER = 10.0 / math.log(10.0)  # of the natural logarithm of power


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
        prominence = to_log_scores(self.prominence(features[0] - change))
        change_db = change * self.db_per_neper
        level = self.gate(torch.cat([scores[:, : self.backends], prominence, change_db], dim=1))
        return torch.cat([level, scores[:, self.backends :], change_db], dim=1)


def fit_target_scorer(
    features: Sequence[Tensor],
    excluded: Tensor,
    band_hz: Tensor,
    filters: Sequence[MatchedFilters] = (),
    responses: Sequence[BandResponses] = (),
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
    responses
        Those of the bands of ``RESPONDING_GROUP_NAMES``; or none.
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
        TargetScorer(scorers, filters, responses),
        common_change,
        fit_group("level", prominence, excluded),
        nn.Identity() if gate is None else gate,
    )
