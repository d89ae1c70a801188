"""The trained networks: branches with their loss, and ensembles of them."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from asd_offline.models.adacos.branches import Branches
from asd_offline.models.adacos.losses import EmbeddingLoss, FeatureExchange
from asd_offline.models.adacos.recipe import AdacosRecipe


class EmbeddingNetwork(nn.Module):
    """Branches with their loss."""

    def __init__(self, branches: Branches, recipe: AdacosRecipe, classes: int) -> None:
        super().__init__()
        self.branches = branches
        self.loss = EmbeddingLoss(
            [recipe.embedding_dims] * len(branches.branches),
            classes,
            recipe.sub_clusters,
            trainable=recipe.trainable_centres,
            dynamic_scale=recipe.dynamic_scale,
            feature_exchange=recipe.feature_exchange,
            subspace=recipe.subspace,
        )

    def forward(self, waveform: Tensor, labels: Tensor, exchanged: Tensor, order: Tensor) -> Tensor:
        """Compute the loss, a scalar.

        Parameters
        ----------
        waveform
            ``(batch, window_samples)``.
        labels
            ``(batch, classes)``.
        exchanged, order
            See :class:`~asd_offline.models.adacos.losses.FeatureExchange`.
        """
        embeddings = self.branches(waveform)
        with torch.autocast(waveform.device.type, enabled=False):
            embeddings = [embedding.float() for embedding in embeddings]
            loss: Tensor = self.loss(embeddings, labels, FeatureExchange(exchanged, order))
        return loss


class Ensemble(nn.Module):
    """Networks that share only their batches; the sum of losses trains each independently."""

    def __init__(self, members: Sequence[EmbeddingNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, waveform: Tensor, labels: Tensor, exchanged: Tensor, order: Tensor) -> Tensor:
        """Compute the sum of the members' losses; arguments as for :class:`EmbeddingNetwork`."""
        losses = [member(waveform, labels, exchanged, order) for member in self.members]
        return torch.stack(losses).sum()

    @property
    def branches(self) -> list[Branches]:
        """The branches of each member."""
        return [cast("EmbeddingNetwork", member).branches for member in self.members]
