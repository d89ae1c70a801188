"""Losses of the trained embeddings: sub-cluster AdaCos, mixup, and feature exchange.

A network that classifies machines, their ids and conditions learns a space in which normal sound
is compact (Wilkinghoff and Kurth, "Why do angular margin losses work well for semi-supervised
anomalous sound detection?", IEEE/ACM TASLP 2024, arXiv 2309.15643). Labels are rows of weights
that sum to one, so that mixed sound can have mixed labels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MAX_ANGLE = math.pi / 4  # of the dynamic scale, as in AdaCos


class SubClusterAdaCos(nn.Module):
    """Cross-entropy over cosines to several centres per class.

    ``p_c = sum_j exp(s cos(x, w_cj)) / sum_kj exp(s cos(x, w_kj))``, loss ``-sum_c y_c log p_c``
    (Wilkinghoff, "Sub-cluster AdaCos", IJCNN 2021, equations 4 to 6). With one centre per class
    it is a softmax over scaled cosines.

    Parameters
    ----------
    dims
        Length of an embedding.
    classes
        2 or more.
    sub_clusters
        Centres of each class.
    trainable
        Whether the centres are learned; otherwise they keep their random initial values.
    dynamic_scale
        False: the scale stays ``sqrt(2) ln(classes * sub_clusters - 1)``. True: that is its
        initial value, and each training batch sets it to ``ln(mean_b sum_ck exp(s cos)) /
        cos(min(pi/4, median angle to the true class))`` before its loss is computed; the angle to
        a class is the angle to its nearest centre.

    Raises
    ------
    ValueError
        If there are too few classes or centres for the scale to be positive.
    """

    centres: Tensor
    scale: Tensor

    def __init__(
        self,
        dims: int,
        classes: int,
        sub_clusters: int = 16,
        *,
        trainable: bool = True,
        dynamic_scale: bool = False,
    ) -> None:
        super().__init__()
        if classes < 2 or sub_clusters < 1 or classes * sub_clusters < 3:
            msg = (
                "expected at least 2 classes, and 3 centres in all; "
                f"got {classes} classes of {sub_clusters} centres"
            )
            raise ValueError(msg)
        self.classes = classes
        self.sub_clusters = sub_clusters
        self.dynamic_scale = dynamic_scale
        centres = torch.empty(classes * sub_clusters, dims)
        nn.init.xavier_uniform_(centres)
        if trainable:
            self.centres = nn.Parameter(centres)
        else:
            self.register_buffer("centres", centres)
        initial_scale = math.sqrt(2.0) * math.log(classes * sub_clusters - 1)
        self.register_buffer("scale", torch.tensor(initial_scale))

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Return ``(batch, classes, sub_clusters)`` of embeddings ``(batch, dims)``."""
        cosines = F.linear(F.normalize(embeddings, dim=1), F.normalize(self.centres, dim=1))
        return cosines.view(-1, self.classes, self.sub_clusters)

    def log_probabilities(self, embeddings: Tensor) -> Tensor:
        """Return ``(batch, classes)``: log probability of each class."""
        logits = self.scale * self.cosines(embeddings)  # (batch, classes, sub_clusters)
        return logits.logsumexp(2) - logits.flatten(1).logsumexp(1, keepdim=True)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Compute the mean loss, a scalar.

        Parameters
        ----------
        embeddings
            ``(batch, dims)``.
        labels
            ``(batch, classes)``, each row sums to one.
        """
        if self.dynamic_scale and self.training:
            self._adapt_scale(embeddings, labels)
        return -(labels * self.log_probabilities(embeddings)).sum(1).mean()

    @torch.no_grad()
    def _adapt_scale(self, embeddings: Tensor, labels: Tensor) -> None:
        cosines = self.cosines(embeddings.float())
        log_sums = (self.scale * cosines).flatten(1).logsumexp(1)  # (batch,)
        log_mean = log_sums.logsumexp(0) - math.log(len(log_sums))
        angles = cosines.amax(2).clamp(-1.0, 1.0).acos()  # (batch, classes), to nearest centres
        angle = (labels * angles).sum(1).median().clamp_max(MAX_ANGLE)
        self.scale.copy_(log_mean / angle.cos())


def mixup(
    waveforms: Tensor,
    labels: Tensor,
    probability: float = 0.5,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Mix some waveforms with others of the batch, and their labels likewise.

    ``a x + (1 - a) x'`` with ``a`` uniform in [0, 1) (Zhang et al., "mixup", ICLR 2018, with
    alpha = 1). The partner comes from a random permutation of the batch.

    Parameters
    ----------
    waveforms
        ``(batch, samples)``.
    labels
        ``(batch, classes)``.
    probability
        Of mixing each row.
    generator
        Random generator on the CPU; torch's global one if None.
    """
    batch = len(waveforms)
    weight = torch.rand(batch, 1, generator=generator)
    unmixed = torch.rand(batch, 1, generator=generator) >= probability
    weight = torch.where(unmixed, 1.0, weight).to(waveforms)
    partner = torch.randperm(batch, generator=generator).to(waveforms.device)
    mixed = weight * waveforms + (1.0 - weight) * waveforms[partner]
    return mixed, weight * labels + (1.0 - weight) * labels[partner]


@dataclass(frozen=True, slots=True)
class FeatureExchange:
    """Which rows of a batch exchange their branch embeddings, and with which rows."""

    exchanged: Tensor
    """``(batch, 1)`` booleans."""
    order: Tensor
    """``(branches, batch)`` int64: the row whose embedding each branch of a row takes; the
    identity for the first branch."""


def sample_exchange(
    batch: int, branches: int, probability: float = 0.5, generator: torch.Generator | None = None
) -> FeatureExchange:
    """Draw which rows exchange, each with ``probability``, and a permutation for each branch."""
    exchanged = torch.rand(batch, 1, generator=generator) < probability
    permutations = [torch.randperm(batch, generator=generator) for _ in range(branches - 1)]
    return FeatureExchange(exchanged, torch.stack([torch.arange(batch), *permutations]))


def exchange_features(
    branches: Sequence[Tensor], labels: Tensor, exchange: FeatureExchange
) -> tuple[list[Tensor], Tensor]:
    """Exchange branch embeddings between rows, and extend the labels with exchanged classes.

    FeatEx (Wilkinghoff, "Self-supervised learning for anomalous sound detection", ICASSP 2024,
    arXiv 2312.09578, section 3.3): the first branch keeps its embedding, every other branch takes
    that of another row, in a separate permutation. An unchanged row has the labels
    ``[y, 0, ..., 0]``, an exchanged one ``[0, y / M, y' / M, ...]`` for ``M`` branches.

    Parameters
    ----------
    branches
        One ``(batch, dims)`` for each branch.
    labels
        ``(batch, classes)``.
    exchange
        From :func:`sample_exchange`.

    Returns
    -------
    tuple
        The branches' embeddings and labels ``(batch, (M + 1) * classes)``.
    """
    exchanged = exchange.exchanged.to(labels.device)
    extended_labels = [torch.where(exchanged, 0.0, labels)]
    embeddings: list[Tensor] = []
    for branch, order in zip(branches, exchange.order, strict=True):
        embeddings.append(torch.where(exchanged, branch[order], branch))
        extended_labels.append(torch.where(exchanged, labels[order] / len(branches), 0.0))
    return embeddings, torch.cat(extended_labels, dim=1)


class EmbeddingLoss(nn.Module):
    """Sub-cluster AdaCos on the concatenated branches; optionally on exchanged and single ones.

    Parameters
    ----------
    branch_dims
        Length of each branch's embedding.
    classes, sub_clusters, trainable, dynamic_scale
        See :class:`SubClusterAdaCos`.
    feature_exchange
        Add a loss on exchanged branches, with weight 1.
    subspace
        Add a loss on each branch separately, with weight 1, so that every branch is trained.
    """

    def __init__(
        self,
        branch_dims: Sequence[int],
        classes: int,
        sub_clusters: int = 16,
        *,
        trainable: bool = True,
        dynamic_scale: bool = False,
        feature_exchange: bool = False,
        subspace: bool = False,
    ) -> None:
        super().__init__()

        def head(dims: int, classes: int) -> SubClusterAdaCos:
            return SubClusterAdaCos(
                dims, classes, sub_clusters, trainable=trainable, dynamic_scale=dynamic_scale
            )

        self.joined = head(sum(branch_dims), classes)
        self.single = nn.ModuleList([head(dims, classes) for dims in branch_dims if subspace])
        extended_classes = (len(branch_dims) + 1) * classes
        self.exchanged = head(sum(branch_dims), extended_classes) if feature_exchange else None

    def forward(
        self, branches: Sequence[Tensor], labels: Tensor, exchange: FeatureExchange | None = None
    ) -> Tensor:
        """Compute the sum of the mean losses, a scalar.

        Parameters
        ----------
        branches
            One ``(batch, dims)`` for each branch.
        labels
            ``(batch, classes)``, each row sums to one.
        exchange
            Ignored without feature exchange.
        """
        loss: Tensor = self.joined(torch.cat(list(branches), dim=1), labels)
        for head, branch in zip(self.single, branches, strict=len(self.single) > 0):
            loss = loss + head(branch, labels)
        if self.exchanged is not None and exchange is not None:
            embeddings, extended_labels = exchange_features(branches, labels, exchange)
            loss = loss + self.exchanged(torch.cat(embeddings, dim=1), extended_labels)
        return loss
