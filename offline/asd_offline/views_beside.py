"""An embedding and the quick start's statistical views, listened to side by side.

A network that tells machines apart may not care for what a fault changes; the views need no
labels and fail differently. Each is scored by local densities, put on the scale of normal sound
that was left out, and one clear voice suffices.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.errors import DatasetError
from asd_monitor.quickstart.detector import Fusion, TargetScorer, fit_fusion, fit_view
from asd_monitor.quickstart.recordings import CutWindows, Recording, cut
from asd_monitor.views import VIEW_NAMES, Views
from asd_offline.branches import Branches
from asd_offline.feature_cache import FeatureCache
from asd_offline.frontends import Waveform
from asd_offline.recipes import Recipe
from asd_offline.targets import Target

FOLDS = 10
BANK_AT_MOST = 1200
BATCH = 16


class ViewsAndEmbeddings(nn.Module):
    """Waveform to the quick start's views, and the embedding of each network as one more."""

    def __init__(self, views: Views, members: Sequence[Branches]) -> None:
        super().__init__()
        self.views = views
        self.members = nn.ModuleList(members)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Return ``(batch, dims)`` for each view and embedding of ``(batch, window_samples)``."""
        views: list[Tensor] = self.views(waveform)
        for member in self.members:
            views.append(F.normalize(torch.cat(member(waveform), dim=1), dim=1))
        return views


class BesideDetector(nn.Module):
    """Waveform to score, with banks per target for every view and the embedding."""

    def __init__(
        self, front: ViewsAndEmbeddings, scorers: Sequence[TargetScorer], fusions: Sequence[Fusion]
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


def fit_beside(
    members: Sequence[Branches],
    targets: Sequence[Target],
    recipe: Recipe,
    features: FeatureCache,
) -> BesideDetector:
    """Fit the scores of all views and the embedding for each target.

    Raises
    ------
    DatasetError
        If a target has too few clips with sound in them.
    """
    views = Views(recipe.sample_rate_hz, recipe.window_samples).eval()
    front = ViewsAndEmbeddings(views, members)
    device = next(members[0].parameters()).device
    views.to(device)
    fitted = [_fit(front, target, recipe, features, device) for target in targets]
    detector = BesideDetector(front, [each[0] for each in fitted], [each[1] for each in fitted])
    return detector.to(device).eval()


def _fit(
    front: ViewsAndEmbeddings,
    target: Target,
    recipe: Recipe,
    features: FeatureCache,
    device: torch.device,
) -> tuple[TargetScorer, Fusion]:
    sound = features.rows([clip.path for clip in target.clips], Waveform(recipe.sample_rate_hz))
    recordings = [
        Recording(clip.name, sound.of(place).squeeze(1).numpy())
        for place, clip in enumerate(target.clips)
    ]
    windows = cut(recordings, recipe.window_samples, recipe.hop_samples, recipe.sample_rate_hz)
    count = min(len(windows), BANK_AT_MOST)
    windows = windows.take(np.linspace(0, len(windows) - 1, count).round().astype(np.int64))
    together = torch.from_numpy(windows.together())
    try:
        views = _front(front, windows, device)
        fusion = fit_fusion(_left_out(views, together, windows.folds()))
        return _scorer(views, together), fusion
    except (ValueError, RuntimeError) as error:
        msg = (
            f"{target.name}: expected at least three normal clips with sound in them, "
            f"found {count} windows of {recipe.window_s:g} s in {len(recordings)} clips: {error}"
        )
        raise DatasetError(msg) from error


def _front(front: ViewsAndEmbeddings, windows: CutWindows, device: torch.device) -> list[Tensor]:
    """Return ``(windows, dims)`` for each view and embedding."""
    batches: list[list[Tensor]] = []
    for start in range(0, len(windows), BATCH):
        waveform = torch.from_numpy(np.stack(windows.waveforms[start : start + BATCH]))
        with torch.no_grad():
            batches.append([each.cpu() for each in front(waveform.to(device))])
    return [torch.cat(parts) for parts in zip(*batches, strict=True)]


def _scorer(views: Sequence[Tensor], together: Tensor) -> TargetScorer:
    names = [*VIEW_NAMES, *("embedding" for _ in views[len(VIEW_NAMES) :])]
    pairs = zip(names, views, strict=True)
    return TargetScorer([fit_view(name, view, together) for name, view in pairs])


def _left_out(views: Sequence[Tensor], together: Tensor, folds: np.ndarray) -> Tensor:
    """Return ``(windows, scores)``: each window scored without itself and its neighbours."""
    fold = torch.from_numpy(folds) % FOLDS
    scores: list[Tensor] = []
    places: list[Tensor] = []
    for each in range(FOLDS):
        left = torch.nonzero(fold == each).flatten()
        if not len(left):
            continue
        kept = torch.nonzero(~together[left].any(0)).flatten()
        scorer = _scorer([view[kept] for view in views], together[kept][:, kept])
        scores.append(scorer([view[left] for view in views]))
        places.append(left)
    return torch.cat(scores)[torch.cat(places).argsort()]
