"""Fine-tuning of a published transformer: small additions to its attention, and a new embedding.

The additions are of low rank (Hu et al., "LoRA", ICLR 2022), to the projections of queries and
values in all layers; the loss is sub-cluster AdaCos over machines, ids and conditions, as for
the networks trained from scratch (published: arXiv 2409.07016; re-evaluated by Fujimura et al.,
arXiv 2507.10264).
"""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_offline.models.adacos.losses import SubClusterAdaCos
from asd_offline.models.pretrained.architectures import PretrainedFrontEnd
from asd_offline.models.pretrained.beats import RelativeAttention
from asd_offline.models.pretrained.vit import Attention

ATTENTION_DIMS = 128


class LowRank(nn.Module):
    """A linear layer that stays as it is, plus the product of two narrow matrices.

    Parameters
    ----------
    linear
        The layer; its weights are not trained.
    rank
        Width of the narrow matrices.
    parts, adapted
        The outputs are divided in so many parts, of which these get an addition of their own.
    """

    def __init__(self, linear: nn.Linear, rank: int, parts: int, adapted: Sequence[int]) -> None:
        super().__init__()
        out, into = linear.weight.shape
        self.parts, self.adapted = parts, tuple(adapted)
        self.weight = nn.Parameter(linear.weight.detach().clone(), requires_grad=False)
        self.bias = nn.Parameter(linear.bias.detach().clone(), requires_grad=False)
        self.down = nn.Parameter(torch.empty(len(self.adapted), rank, into))
        nn.init.uniform_(self.down, -1.0 / math.sqrt(into), 1.0 / math.sqrt(into))
        self.up = nn.Parameter(torch.zeros(len(self.adapted), out // parts, rank))

    def merged(self) -> Tensor:
        """Return the weight ``(out, in)`` with the additions in it."""
        added = iter(torch.matmul(self.up, self.down))
        nothing = torch.zeros_like(self.weight[: len(self.weight) // self.parts])
        rows = [next(added) if i in self.adapted else nothing for i in range(self.parts)]
        return self.weight + torch.cat(rows)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(..., out)`` of ``(..., in)``."""
        return F.linear(inputs, self.merged(), self.bias)

    def plain(self) -> nn.Linear:
        """Return a linear layer that does the same."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        layer.load_state_dict({"weight": self.merged().detach(), "bias": self.bias.detach()})
        return layer


def add_low_rank(network: nn.Module, rank: int) -> None:
    """Freeze a transformer, and put low-rank additions beside its queries and values."""
    network.requires_grad_(False)
    for each in network.modules():
        if isinstance(each, RelativeAttention):
            each.q_proj = LowRank(each.q_proj, rank, 1, [0])  # type: ignore[assignment]
            each.v_proj = LowRank(each.v_proj, rank, 1, [0])  # type: ignore[assignment]
        elif isinstance(each, Attention):
            each.qkv = LowRank(each.qkv, rank, 3, [0, 2])  # type: ignore[assignment]


def without_additions(network: nn.Module) -> nn.Module:
    """Return a copy whose low-rank additions are in its weights."""
    copied = copy.deepcopy(network)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LowRank):
                setattr(parent, name, child.plain())
    return copied.requires_grad_(False)


class AttentivePooling(nn.Module):
    """Mean and deviation over patches, each value weighted by what the network finds telling.

    Okabe et al., "Attentive statistics pooling for deep speaker embedding", Interspeech 2018,
    with weights for each value instead of each patch.
    """

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(dims, ATTENTION_DIMS)
        self.wide = nn.Linear(ATTENTION_DIMS, dims)
        self.values = 2 * dims

    def forward(self, patches: Tensor) -> Tensor:
        """Return ``(batch, 2 dims)`` of ``(batch, time, bands, dims)``."""
        vectors = patches.flatten(1, 2)
        weights: Tensor = self.wide(torch.tanh(self.narrow(vectors)))
        weights = weights.softmax(1)
        mean = (weights * vectors).sum(1)
        variance = (weights * (vectors - mean.unsqueeze(1)).square()).sum(1)
        return torch.cat([mean, variance.clamp_min(1e-6).sqrt()], dim=1)


class EmbeddingHead(nn.Module):
    """Patches to one embedding of length 1."""

    def __init__(self, dims: int, embedding_dims: int) -> None:
        super().__init__()
        self.pooling = AttentivePooling(dims)
        self.project = nn.Linear(self.pooling.values, embedding_dims)

    def forward(self, patches: Tensor) -> Tensor:
        """Return ``(batch, 1, embedding_dims)`` of ``(batch, time, bands, dims)``."""
        return F.normalize(self.project(self.pooling(patches)), dim=1).unsqueeze(1)


class FineTuned(nn.Module):
    """A published front end, its additions, the embedding, and the loss.

    Parameters
    ----------
    front
        Changed in place.
    rank
        Of the additions; 0: all weights are trained instead.
    """

    def __init__(
        self,
        front: PretrainedFrontEnd,
        rank: int,
        embedding_dims: int,
        classes: int,
        sub_clusters: int,
    ) -> None:
        super().__init__()
        if rank:
            add_low_rank(front.transformer, rank)
        self.front = front
        self.head = EmbeddingHead(front.dims, embedding_dims)
        self.loss = SubClusterAdaCos(embedding_dims, classes, sub_clusters)

    def train(self, mode: bool = True) -> "FineTuned":
        """Set the mode of all but the front end, whose normalisation stays as published."""
        super().train(mode)
        self.front.eval()
        return self

    def forward(self, waveform: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar, of ``(batch, samples)`` with labels ``(batch, classes)``."""
        kind = waveform.device.type
        with torch.autocast(kind, enabled=False):  # half precision would spoil the spectrogram
            spectrogram = self.front.spectrogram(self.front.resample(waveform))
        patches = self.front.transformer(spectrogram)
        with torch.autocast(kind, enabled=False):
            embedding = self.head(patches.float()).squeeze(1)
            loss: Tensor = self.loss(embedding, labels)
        return loss
