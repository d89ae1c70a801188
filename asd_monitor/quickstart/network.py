"""The module inside a quick-start model file: waveform to views to back ends to one score."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_monitor.backends.density_neighbours import fit_density_neighbours
from asd_monitor.backends.lof import fit_lof
from asd_monitor.backends.mahalanobis import fit_whitening
from asd_monitor.features import FEATURE_GROUP_NAMES, FeatureGroups

BACKENDS_PER_VIEW = 2
LEAST_STD = 0.05  # of a logarithm of power: about 0.2 dB
LEVEL_UNIT = 0.35  # 1.5 dB: smaller changes of level come from mounting and the room
LEAST_RADIUS = 0.1  # of the spread of normal sound: closer than this counts as equal
LEAST_SCALE = 0.025
LEAST_LEVEL_SCALE = 0.3  # so that a step of 3 dB is a clear change, one of 1.5 dB is not


class GroupScorer(nn.Module):
    """Scores of one view: LOF as it is, density-normalised neighbours after whitening."""

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

    def forward(self, view: Tensor) -> Tensor:
        """Return scores ``(2, batch)`` of ``(batch, dims)``; both lie about 1 for normal sound."""
        scaled = (view - self.mean) * self.inverse_std
        return torch.stack([self.lof(scaled), self.neighbours(self.whitening(scaled))])


def fit_group(name: str, view: Tensor, together: Tensor) -> GroupScorer:
    """Fit the back ends of one view.

    Parameters
    ----------
    name
        One of :data:`~asd_monitor.features.FEATURE_GROUP_NAMES`.
    view
        ``(items, dims)`` of normal windows.
    together
        ``(items, items)``: True where two windows must not vouch for one another.
    """
    mean = view.mean(0)
    if name == "level":
        # In decibels, not in units of its spread: two loads would make all between them normal.
        std, min_radius = torch.full_like(mean, LEVEL_UNIT), 1.0
    else:
        std = (view.var(0, correction=0) + LEAST_STD**2).sqrt()
        min_radius = LEAST_RADIUS * math.sqrt(view.shape[1])
    scaled = (view - mean) / std
    lof = fit_lof(scaled, together, count=4, min_reach=min_radius)
    whitening = nn.Identity() if name == "level" else fit_whitening(scaled, min_variance=1e-3)
    neighbours = fit_density_neighbours(whitening(scaled), together, min_radius=min_radius)
    return GroupScorer(mean, std, lof, whitening, neighbours)


class TargetScorer(nn.Module):
    """The scorers of all views of one target."""

    def __init__(self, scorers: Sequence[GroupScorer]) -> None:
        super().__init__()
        self.scorers = nn.ModuleList(scorers)

    def forward(self, views: list[Tensor]) -> Tensor:
        """Return ``(batch, views * 2)`` log scores of the views, ``(batch, dims)`` each."""
        parts: list[Tensor] = []
        for index, scorer in enumerate(self.scorers):
            parts.append(scorer(views[index]))
        # Below 0.5 they only say "very normal".
        return (torch.cat(parts) + 0.5).log().t()


class Fusion(nn.Module):
    """Put each score on the scale of held-out normal sound, and let one clear voice suffice.

    Log of the mean exponential: near the mean while all agree, near the largest when one stands
    out by several of its standard deviations.
    """

    centre: Tensor
    inverse_scale: Tensor

    def __init__(self, centre: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("inverse_scale", scale.reciprocal())

    def forward(self, scores: Tensor) -> Tensor:
        """Return ``(batch,)`` of log scores ``(batch, count)``."""
        scaled = (scores - self.centre) * self.inverse_scale
        return torch.logsumexp(scaled, dim=1) - math.log(scores.shape[1])


def fit_fusion(held_out: Tensor) -> Fusion:
    """Fit the scales on held-out scores ``(items, views * 2)`` of normal windows."""
    least = torch.full((held_out.shape[1],), LEAST_SCALE)
    least[:BACKENDS_PER_VIEW] = LEAST_LEVEL_SCALE  # level is the first view
    centre = held_out.median(0).values
    return Fusion(centre, torch.maximum(held_out.std(0, correction=0), least))


class Evidence(nn.Module):
    """Deviation from normal by band and frame, in units of the normal spread."""

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
    """Waveform to score, with one bank per target.

    Parameters
    ----------
    views
        The front end that all targets share.
    scorers, fusions, evidences
        One of each for every target.
    """

    def __init__(
        self,
        views: FeatureGroups,
        scorers: Sequence[TargetScorer],
        fusions: Sequence[Fusion],
        evidences: Sequence[Evidence],
    ) -> None:
        super().__init__()
        self.views = views
        self.count = len(scorers)
        self.scorers = nn.ModuleList(scorers)
        self.fusions = nn.ModuleList(fusions)
        self.evidences = nn.ModuleList(evidences)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)``, higher = more anomalous.

        Parameters
        ----------
        waveform
            ``(batch, window_samples)`` float32 in [-1, 1].
        target
            ``(batch,)`` int64, indexes the manifest's targets.
        """
        if waveform.is_cuda:
            return self._score(self.views(waveform), target)
        # A few windows at a time: their spectrograms then stay in the processor's cache.
        pieces: list[Tensor] = []
        for start in range(0, waveform.shape[0], 4):
            views = self.views(waveform[start : start + 4])
            pieces.append(self._score(views, target[start : start + 4]))
        return torch.cat(pieces) if len(pieces) > 0 else waveform.new_zeros(0)

    def _score(self, views: list[Tensor], target: Tensor) -> Tensor:
        if self.count == 1:  # nothing to pick out: a tenth of the time
            for scorer, fusion in zip(self.scorers, self.fusions):  # noqa: B905 - TorchScript knows no strict
                score: Tensor = fusion(scorer(views))
                return score
        scores = torch.zeros_like(views[0][:, 0])
        for index, (scorer, fusion) in enumerate(zip(self.scorers, self.fusions)):  # noqa: B905 - TorchScript knows no strict
            rows = torch.nonzero(target == index).flatten()
            if rows.numel() > 0:
                scores[rows] = fusion(scorer([view[rows] for view in views]))
        return scores

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, bands, frames)``: deviation in units of the normal spread, signed."""
        log_mel = self.views.log_mel(waveform)
        deviation = torch.zeros_like(log_mel.transpose(1, 2))
        for index, evidence in enumerate(self.evidences):
            rows = torch.nonzero(target == index).flatten()
            if rows.numel() > 0:
                deviation[rows] = evidence(log_mel[rows])
        return deviation


def fit_target_scorer(views: Sequence[Tensor], together: Tensor) -> TargetScorer:
    """Fit all views of one target; arguments as in :func:`fit_group`, one tensor per view."""
    pairs = zip(FEATURE_GROUP_NAMES, views, strict=True)
    return TargetScorer([fit_group(name, view, together) for name, view in pairs])
