"""What a trained detector listens to: views that nothing is trained for, and embeddings."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.features import FEATURE_GROUP_NAMES, FeatureGroups
from asd_offline.models.adacos.branches import Branches
from asd_offline.models.adacos.fine_views import FINER_VIEW_NAMES, FinerViews

ALL_VIEW_NAMES = FEATURE_GROUP_NAMES + FINER_VIEW_NAMES


class ViewsAndEmbeddings(nn.Module):
    """Waveform to the views that nothing is trained for, and the embedding of each network."""

    def __init__(self, views: FeatureGroups, members: Sequence[Branches], *, finer: bool) -> None:
        super().__init__()
        self.views = views
        self.finer = nn.ModuleList([FinerViews(views)] if finer else [])
        self.members = nn.ModuleList(members)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Return ``(batch, dims)`` for each view and embedding of ``(batch, window_samples)``."""
        power, log_mel, fast_power = self.views.frames(waveform)
        views: list[Tensor] = self.views.from_frames(power, log_mel, fast_power)
        for finer in self.finer:
            views.extend(finer(power, log_mel, fast_power))
        for member in self.members:
            views.append(F.normalize(torch.cat(member(waveform), dim=1), dim=1))
        return views

    @torch.jit.unused
    def movement(self, waveform: Tensor) -> list[Tensor]:
        """Return what :meth:`FinerViews.movement` does; nothing without finer views."""
        frames = self.views.frames(waveform)
        return [
            each for finer in self.finer for each in cast("FinerViews", finer).movement(*frames)
        ]
