"""An embedding and statistical views, the quick start's and finer ones, listened to side by side.

A network that tells machines apart may not care for what a fault changes; the views need no
labels and fail differently. Each is scored by local densities, put on the scale of normal sound
that was left out, and one clear voice suffices.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from asd_monitor.errors import DatasetError
from asd_monitor.features import FEATURE_GROUP_NAMES, FeatureGroups
from asd_monitor.quickstart.network import (
    BACKENDS_PER_VIEW,
    Fusion,
    TargetScorer,
    fit_fusion,
    fit_group,
)
from asd_monitor.quickstart.training_windows import (
    Recording,
    TrainingWindows,
    evenly_spaced_indices,
    frame_recordings,
)
from asd_offline.datasets.clip import Clip
from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import Waveform
from asd_offline.models.adacos.branches import Branches
from asd_offline.models.adacos.fine_views import MOVING_VIEW_NAMES
from asd_offline.models.adacos.joint_features import ALL_VIEW_NAMES, ViewsAndEmbeddings
from asd_offline.models.adacos.stationary_views import SteadyScorer, SteadyViews, fit_steady
from asd_offline.models.protocol import DetectorModule
from asd_offline.recipes import Recipe

FOLDS = 10
BANK_AT_MOST = 1200
BATCH = 16
ENOUGH_WINDOWS = 40
"""Below this a target borrows from others: 10 to 20 clips gain by it, 40 and more do not."""


class BesideDetector(DetectorModule):
    """Waveform to score, with banks per target for every view and the embedding."""

    def __init__(
        self, front: ViewsAndEmbeddings, scorers: Sequence[SteadyScorer], fusions: Sequence[Fusion]
    ) -> None:
        super().__init__()
        self.front = front
        self.scorers = nn.ModuleList(scorers)
        self.fusions = nn.ModuleList(fusions)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, window_samples)``; higher = more anomalous."""
        views: list[Tensor] = self.front(waveform)
        scores = torch.zeros_like(views[0][:, 0])
        for index, (scorer, fusion) in enumerate(zip(self.scorers, self.fusions)):  # noqa: B905 - TorchScript knows no strict
            rows = torch.nonzero(target == index).flatten()
            if rows.numel() > 0:
                scores[rows] = fusion(scorer([view[rows] for view in views]))
        return scores


@dataclass(frozen=True)
class _Normal:
    """Normal windows of one target, as the views and embeddings show them."""

    views: list[Tensor]
    """``(windows, dims)`` each."""
    together: Tensor
    """``(windows, windows)``: True where two must not vouch for one another."""
    folds: np.ndarray
    movement: list[Tensor]
    """``(dims, dims)`` each: how frames differ; :meth:`FinerViews.movement` says of what."""

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.folds)


def fit_beside(
    members: Sequence[Branches],
    targets: Sequence[Target],
    recipe: Recipe,
    features: FeatureCache,
    *,
    finer: bool,
) -> BesideDetector:
    """Fit the scores of all views, finer ones among them or not, and the embedding for each target.

    A target with few windows borrows from the machine's other ids or sections, which vary in
    much the same way about a mean of their own (as Yin et al., "Feature transfer learning for
    face recognition with under-represented data", CVPR 2019, do for people with few pictures).

    Raises
    ------
    DatasetError
        If a target has too few clips with sound in them.
    """
    views = FeatureGroups(recipe.sample_rate_hz, recipe.window_samples)
    front = ViewsAndEmbeddings(views, members, finer=finer)
    device = next(members[0].parameters()).device
    front.eval().to(device)
    normal = [_normal(front, each.clips, recipe, features, device) for each in targets]
    fitted = []
    for target, own in zip(targets, normal, strict=True):
        pairs = zip(targets, normal, strict=True)
        steady = _steady(own)
        others = [
            replace(each, views=steady(each.views))
            for it, each in pairs
            if it.machine == target.machine and each is not own and len(each)
        ]
        known = replace(own, views=steady(own.views))
        scorer, fusion = _fit(target, known, _borrowed(others, ENOUGH_WINDOWS - len(own)))
        fitted.append((SteadyScorer(steady, scorer), fusion))
    unseen = [_normal(front, each.held_out, recipe, features, device) for each in targets]
    fusions = _calmed(fitted, unseen, targets, BACKENDS_PER_VIEW * len(members))
    detector = BesideDetector(front, [scorer for scorer, _ in fitted], fusions)
    return detector.to(device).eval()


def _normal(
    front: ViewsAndEmbeddings,
    clips: Sequence[Clip],
    recipe: Recipe,
    features: FeatureCache,
    device: torch.device,
) -> _Normal:
    sound = features.rows([clip.path for clip in clips], Waveform(recipe.sample_rate_hz))
    recordings = [
        Recording(clip.name, sound.of(place).squeeze(1).numpy()) for place, clip in enumerate(clips)
    ]
    windows = frame_recordings(
        recordings, recipe.window_samples, recipe.hop_samples, recipe.sample_rate_hz
    )
    windows = windows.take(evenly_spaced_indices(len(windows), BANK_AT_MOST))
    together = torch.from_numpy(windows.exclusion_mask())
    views, movement = _front(front, windows, device)
    return _Normal(views, together, windows.folds(), movement)


def _steady(normal: _Normal) -> SteadyViews:
    """Fit a target's steady views; none where the views are the quick start's alone."""
    places = [ALL_VIEW_NAMES.index(name) for name in MOVING_VIEW_NAMES]
    pairs = zip(places, normal.movement, strict=False)
    return SteadyViews(len(ALL_VIEW_NAMES), [fit_steady(*pair) for pair in pairs])


def _calmed(
    fitted: Sequence[tuple[SteadyScorer, Fusion]],
    unseen: Sequence[_Normal],
    targets: Sequence[Target],
    trained: int,
) -> list[Fusion]:
    """Widen the embeddings' scales to what they do on clips that the network has not seen.

    Left out of the bank is not left out of training: on its training clips an embedding is
    quieter than on any other. One factor, at least 1, for each score and machine: the root mean
    square of the held-out windows of all its ids. ``trained`` scores are embeddings': the last.
    """
    squares: dict[str, list[Tensor]] = defaultdict(list)
    for (scorer, fusion), windows, target in zip(fitted, unseen, targets, strict=True):
        if len(windows):
            scaled = (scorer(windows.views) - fusion.centre) * fusion.inverse_scale
            squares[target.machine].append(scaled.square())
    calmed = []
    for (_, fusion), target in zip(fitted, targets, strict=True):
        scale = fusion.inverse_scale.reciprocal()
        if target.machine in squares:
            factor = torch.cat(squares[target.machine]).mean(0).sqrt().clamp_min(1.0)
            factor[:-trained] = 1.0
            scale = scale * factor
        calmed.append(Fusion(fusion.centre, scale))
    return calmed


def _borrowed(others: Sequence[_Normal], wanted: int) -> _Normal | None:
    """Return how at most so many windows of other targets deviate from the mean of their own."""
    if wanted <= 0 or not others:
        return None
    chosen = torch.from_numpy(evenly_spaced_indices(sum(map(len, others)), wanted))
    views = [
        torch.cat([_deviations(view) for view in same])[chosen]
        for same in zip(*(each.views for each in others), strict=True)
    ]
    together = _blocks([each.together for each in others])
    folds = np.concatenate([each.folds for each in others])
    return _Normal(views, together[chosen][:, chosen], folds[chosen.numpy()], [])


def _deviations(view: Tensor) -> Tensor:
    """Return ``(windows, dims)`` about 0, as spread as about the true mean, not that of a few."""
    return (view - view.mean(0)) * math.sqrt(len(view) / max(len(view) - 1, 1))


def _blocks(parts: Sequence[Tensor]) -> Tensor:
    """Return ``(items, items)`` with the parts along the diagonal, False elsewhere."""
    size = sum(map(len, parts))
    whole = torch.zeros(size, size, dtype=torch.bool)
    first = 0
    for part in parts:
        last = first + len(part)
        whole[first:last, first:last] = part
        first = last
    return whole


def _fit(target: Target, own: _Normal, borrowed: _Normal | None) -> tuple[TargetScorer, Fusion]:
    if not len(own):
        raise _too_few(target, 0)
    try:
        return _scorer(own.views, own.together, borrowed), fit_fusion(_left_out(own, borrowed))
    except (ValueError, RuntimeError) as error:
        raise _too_few(target, len(own)) from error


def _too_few(target: Target, windows: int) -> DatasetError:
    return DatasetError(
        f"{target.name}: expected at least three normal clips with sound in them, "
        f"found {windows} windows in {len(target.clips)} clips; record more, or take out clips "
        "that are silent or constant"
    )


def _front(
    front: ViewsAndEmbeddings, windows: TrainingWindows, device: torch.device
) -> tuple[list[Tensor], list[Tensor]]:
    """Return ``(windows, dims)`` for each view and embedding, and the mean movement, on the CPU.

    Nothing without windows.
    """
    batches: list[list[Tensor]] = []
    movement: list[Tensor] = []
    for start in range(0, len(windows), BATCH):
        waveform = torch.from_numpy(np.stack(windows.waveforms[start : start + BATCH])).to(device)
        with torch.no_grad():
            batches.append([each.cpu() for each in front(waveform)])
            moved = [each.sum(0).cpu() / len(windows) for each in front.movement(waveform)]
        movement = [a + b for a, b in zip(movement, moved, strict=True)] if start else moved
    return [torch.cat(parts) for parts in zip(*batches, strict=True)], movement


def _scorer(views: Sequence[Tensor], together: Tensor, borrowed: _Normal | None) -> TargetScorer:
    if borrowed is not None:
        pairs = zip(views, borrowed.views, strict=True)
        views = [torch.cat([view, view.mean(0) + more]) for view, more in pairs]
        together = _blocks([together, borrowed.together])
    names = [*FEATURE_GROUP_NAMES, *("more" for _ in views[len(FEATURE_GROUP_NAMES) :])]
    return TargetScorer(
        [fit_group(name, view, together) for name, view in zip(names, views, strict=True)]
    )


def _left_out(own: _Normal, borrowed: _Normal | None) -> Tensor:
    """Return ``(windows, scores)``: each window scored without itself and its neighbours."""
    fold = torch.from_numpy(own.folds) % FOLDS
    scores: list[Tensor] = []
    places: list[Tensor] = []
    for each in range(FOLDS):
        left = torch.nonzero(fold == each).flatten()
        if not len(left):
            continue
        kept = torch.nonzero(~own.together[left].any(0)).flatten()
        views = [view[kept] for view in own.views]
        scorer = _scorer(views, own.together[kept][:, kept], borrowed)
        scores.append(scorer([view[left] for view in own.views]))
        places.append(left)
    return torch.cat(scores)[torch.cat(places).argsort()]
