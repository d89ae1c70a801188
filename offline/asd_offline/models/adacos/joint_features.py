"""Feature groups, which need no training, and embeddings of the trained networks."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.features import FEATURE_GROUP_NAMES, FeatureGroups
from asd_offline.models.adacos.branches import Branches
from asd_offline.models.adacos.fine_features import FINE_GROUP_NAMES, FineFeatures

ALL_GROUP_NAMES = FEATURE_GROUP_NAMES + FINE_GROUP_NAMES


class JointFeatures(nn.Module):
    """Waveform to feature groups and the embedding of each network.

    Parameters
    ----------
    groups
        The quick start's feature groups.
    members
        Trained networks.
    fine
        Whether to add :class:`FineFeatures`.
    """

    def __init__(self, groups: FeatureGroups, members: Sequence[Branches], *, fine: bool) -> None:
        super().__init__()
        self.groups = groups
        self.fine = nn.ModuleList([FineFeatures(groups)] if fine else [])  # none or one
        self.members = nn.ModuleList(members)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Return ``(batch, dims)`` for each group and embedding of ``(batch, window_samples)``."""
        power, log_mel, fast_power = self.groups.frames(waveform)
        features: list[Tensor] = self.groups.from_frames(power, log_mel, fast_power)
        for fine in self.fine:
            features.extend(fine(power, log_mel, fast_power))
        for member in self.members:
            features.append(F.normalize(torch.cat(member(waveform), dim=1), dim=1))
        return features

    @torch.jit.unused
    def frame_covariances(self, waveform: Tensor) -> list[Tensor]:
        """Compute :meth:`FineFeatures.frame_covariances`; empty without fine features."""
        frames = self.groups.frames(waveform)
        return [
            covariance
            for fine in self.fine
            for covariance in cast("FineFeatures", fine).frame_covariances(*frames)
        ]
