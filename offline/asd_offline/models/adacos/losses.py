"""Losses of the trained embeddings: sub-cluster AdaCos, mixup, and feature exchange.

A network that tells machines, their ids and conditions apart learns a space in which normal sound
is compact (Wilkinghoff and Kurth, "Why do angular margin losses work well for semi-supervised
anomalous sound detection?", arXiv 2309.15643). Labels are rows of weights that sum to one, so
that mixed sound can have mixed labels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST_ANGLE = math.pi / 4  # of the dynamic scale, as in AdaCos


class SubClusterAdaCos(nn.Module):
    """Cross-entropy over cosines to several centres per class.

    ``p_c = sum_j exp(s cos(x, w_cj)) / sum_kj exp(s cos(x, w_kj))``, loss ``-sum_c y_c log p_c``
    (Wilkinghoff, "Sub-cluster AdaCos", IJCNN 2021, equations 4 to 6). With one centre a class
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
        Whether the centres are learned; otherwise they stay where they were drawn.
    dynamic_scale
        False: the scale stays ``sqrt(2) ln(classes * sub_clusters - 1)``. True: that is where it
        starts, and each training batch sets it to ``ln(mean_b sum_ck exp(s cos)) / cos(min(pi/4,
        median angle to the own class))`` before its loss is taken; the angle to a class is that
        to its nearest centre.

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
        start = math.sqrt(2.0) * math.log(classes * sub_clusters - 1)
        self.register_buffer("scale", torch.tensor(start))

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Return ``(batch, classes, sub_clusters)`` of embeddings ``(batch, dims)``."""
        cosines = F.linear(F.normalize(embeddings, dim=1), F.normalize(self.centres, dim=1))
        return cosines.view(-1, self.classes, self.sub_clusters)

    def log_probabilities(self, embeddings: Tensor) -> Tensor:
        """Return ``(batch, classes)``: log of the share of each class."""
        logits = self.scale * self.cosines(embeddings)
        return logits.logsumexp(2) - logits.flatten(1).logsumexp(1, keepdim=True)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss, a scalar.

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
        log_sums = (self.scale * cosines).flatten(1).logsumexp(1)
        log_mean = log_sums.logsumexp(0) - math.log(len(log_sums))
        nearest = cosines.amax(2).clamp(-1.0, 1.0).acos()
        angle = (labels * nearest).sum(1).median().clamp_max(LARGEST_ANGLE)
        self.scale.copy_(log_mean / angle.cos())


def one_hot(classes: Tensor, count: int) -> Tensor:
    """Return labels ``(batch, count)`` float32 of class numbers ``(batch,)``."""
    return F.one_hot(classes, count).float()


def mixup(
    waveforms: Tensor,
    labels: Tensor,
    probability: float = 0.5,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Mix some waveforms with others of the batch, and their labels likewise.

    ``a x + (1 - a) x'`` with ``a`` uniform in [0, 1) (Zhang et al., "mixup", ICLR 2018, with
    alpha = 1). The partner comes from a random order of the batch.

    Parameters
    ----------
    waveforms
        ``(batch, samples)``.
    labels
        ``(batch, classes)``.
    probability
        How likely each row is mixed.
    generator
        Source of chance, on the CPU; torch's own if None.
    """
    batch = len(waveforms)
    weight = torch.rand(batch, 1, generator=generator)
    kept = torch.rand(batch, 1, generator=generator) >= probability
    own = torch.where(kept, 1.0, weight).to(waveforms)
    partner = torch.randperm(batch, generator=generator).to(waveforms.device)
    mixed = own * waveforms + (1.0 - own) * waveforms[partner]
    return mixed, own * labels + (1.0 - own) * labels[partner]


@dataclass(frozen=True, slots=True)
class Exchange:
    """Which rows of a batch exchange their branches, and with whom."""

    exchanged: Tensor
    """``(batch, 1)`` booleans."""
    order: Tensor
    """``(branches, batch)`` int64: whose embedding a row's branch takes; the first its own."""


def draw_exchange(
    batch: int, branches: int, probability: float = 0.5, generator: torch.Generator | None = None
) -> Exchange:
    """Draw which rows exchange, each with ``probability``, and an order for every branch."""
    exchanged = torch.rand(batch, 1, generator=generator) < probability
    others = [torch.randperm(batch, generator=generator) for _ in range(branches - 1)]
    return Exchange(exchanged, torch.stack([torch.arange(batch), *others]))


def exchange_features(
    branches: Sequence[Tensor], labels: Tensor, exchange: Exchange
) -> tuple[list[Tensor], Tensor]:
    """Exchange branch embeddings between sounds, and enlarge the labels so that it can be told.

    FeatEx (Wilkinghoff, "Self-supervised learning for anomalous sound detection", arXiv
    2312.09578, section 3.3): the first branch keeps its sound, every other branch takes that of
    another, in an order of its own. A row left alone has the labels ``[y, 0, ..., 0]``; an
    exchanged one has ``[0, y / M, y' / M, ...]`` for ``M`` branches.

    Parameters
    ----------
    branches
        One ``(batch, dims)`` for each branch.
    labels
        ``(batch, classes)``.
    exchange
        From :func:`draw_exchange`.

    Returns
    -------
    tuple
        The branches' embeddings and labels ``(batch, (M + 1) * classes)``.
    """
    exchanged = exchange.exchanged.to(labels.device)
    parts = [torch.where(exchanged, 0.0, labels)]
    results: list[Tensor] = []
    for branch, order in zip(branches, exchange.order, strict=True):
        results.append(torch.where(exchanged, branch[order], branch))
        parts.append(torch.where(exchanged, labels[order] / len(branches), 0.0))
    return results, torch.cat(parts, dim=1)


class EmbeddingLoss(nn.Module):
    """Sub-cluster AdaCos on the joined branches; where asked for, on exchanged and single ones.

    Parameters
    ----------
    branch_dims
        Length of each branch's embedding.
    classes, sub_clusters, trainable, dynamic_scale
        See :class:`SubClusterAdaCos`.
    feature_exchange
        Add a loss on exchanged branches, with weight 1.
    subspace
        Add a loss on each branch by itself, with weight 1, so that none is left idle.
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

        def head(dims: int, count: int) -> SubClusterAdaCos:
            return SubClusterAdaCos(
                dims, count, sub_clusters, trainable=trainable, dynamic_scale=dynamic_scale
            )

        self.joined = head(sum(branch_dims), classes)
        single = branch_dims if subspace else ()
        self.single = nn.ModuleList([head(dims, classes) for dims in single])
        enlarged = (len(branch_dims) + 1) * classes
        self.exchanged = head(sum(branch_dims), enlarged) if feature_exchange else None

    def forward(
        self, branches: Sequence[Tensor], labels: Tensor, exchange: Exchange | None = None
    ) -> Tensor:
        """Return the sum of the mean losses, a scalar.

        Parameters
        ----------
        branches
            One ``(batch, dims)`` for each branch.
        labels
            ``(batch, classes)``, each row sums to one.
        exchange
            What feature exchange needs; without effect where it was not asked for.
        """
        loss: Tensor = self.joined(torch.cat(list(branches), dim=1), labels)
        for head, branch in zip(self.single, branches, strict=len(self.single) > 0):
            loss = loss + head(branch, labels)
        if self.exchanged is not None and exchange is not None:
            others, enlarged = exchange_features(branches, labels, exchange)
            loss = loss + self.exchanged(torch.cat(others, dim=1), enlarged)
        return loss
