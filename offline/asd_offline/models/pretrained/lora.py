"""Fine-tuning of a published transformer: low-rank updates of its attention, and an embedding.

Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR 2022, on the query and value
projections of all layers. The loss is sub-cluster AdaCos over machines, ids and conditions, as for
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
from asd_offline.models.pretrained.beats import RelativeAttention
from asd_offline.models.pretrained.front_end import PretrainedFrontEnd
from asd_offline.models.pretrained.vit import Attention

ATTENTION_DIMS = 128


class LoraLinear(nn.Module):
    """A frozen linear layer plus a trained low-rank update: ``W + B A`` (LoRA, equation 3).

    Parameters
    ----------
    linear
        The layer; its weights are not trained.
    rank
        Rank of the update.
    parts, adapted
        The outputs are divided into ``parts``; those listed in ``adapted`` have an update each.
    """

    def __init__(self, linear: nn.Linear, rank: int, parts: int, adapted: Sequence[int]) -> None:
        super().__init__()
        dims_out, dims_in = linear.weight.shape
        self.parts, self.adapted = parts, tuple(adapted)
        self.weight = nn.Parameter(linear.weight.detach().clone(), requires_grad=False)
        self.bias = nn.Parameter(linear.bias.detach().clone(), requires_grad=False)
        self.down = nn.Parameter(torch.empty(len(self.adapted), rank, dims_in))
        nn.init.uniform_(self.down, -1.0 / math.sqrt(dims_in), 1.0 / math.sqrt(dims_in))
        self.up = nn.Parameter(torch.zeros(len(self.adapted), dims_out // parts, rank))

    def merged_weight(self) -> Tensor:
        """Return the weight ``(out, in)`` with the updates added."""
        updates = iter(torch.matmul(self.up, self.down))  # (adapted, out / parts, in)
        zero = torch.zeros_like(self.weight[: len(self.weight) // self.parts])
        rows = [next(updates) if i in self.adapted else zero for i in range(self.parts)]
        return self.weight + torch.cat(rows)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(..., out)`` of ``(..., in)``."""
        return F.linear(inputs, self.merged_weight(), self.bias)

    def merged(self) -> nn.Linear:
        """Return an equivalent linear layer."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        weights = {"weight": self.merged_weight().detach(), "bias": self.bias.detach()}
        layer.load_state_dict(weights)
        return layer


def add_lora(network: nn.Module, rank: int) -> None:
    """Freeze a transformer and add low-rank updates to its queries and values, in place."""
    network.requires_grad_(False)
    for module in network.modules():
        if isinstance(module, RelativeAttention):
            module.q_proj = LoraLinear(module.q_proj, rank, 1, [0])  # type: ignore[assignment]
            module.v_proj = LoraLinear(module.v_proj, rank, 1, [0])  # type: ignore[assignment]
        elif isinstance(module, Attention):
            module.qkv = LoraLinear(module.qkv, rank, 3, [0, 2])  # type: ignore[assignment]


def merge_lora(network: PretrainedFrontEnd) -> PretrainedFrontEnd:
    """Return a copy with the low-rank updates merged into its weights."""
    merged = copy.deepcopy(network)
    for parent in list(merged.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLinear):
                setattr(parent, name, child.merged())
    return merged.requires_grad_(False)


class AttentivePooling(nn.Module):
    """Mean and standard deviation over patches, weighted by learned attention.

    Okabe et al., "Attentive statistics pooling for deep speaker embedding", Interspeech 2018,
    with a weight for each dimension instead of one for each patch.
    """

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(dims, ATTENTION_DIMS)
        self.wide = nn.Linear(ATTENTION_DIMS, dims)
        self.dims_out = 2 * dims

    def forward(self, patches: Tensor) -> Tensor:
        """Return ``(batch, 2 dims)`` of ``(batch, time, bands, dims)``."""
        vectors = patches.flatten(1, 2)  # (batch, patches, dims)
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
        self.project = nn.Linear(self.pooling.dims_out, embedding_dims)

    def forward(self, patches: Tensor) -> Tensor:
        """Return ``(batch, 1, embedding_dims)`` of ``(batch, time, bands, dims)``."""
        return F.normalize(self.project(self.pooling(patches)), dim=1).unsqueeze(1)


class FineTuned(nn.Module):
    """A published front end with low-rank updates, the embedding, and the loss.

    Parameters
    ----------
    front
        Changed in place.
    rank
        Rank of the updates; 0: all weights are trained instead.
    embedding_dims
        Length of the embedding.
    classes, sub_clusters
        See :class:`~asd_offline.models.adacos.losses.SubClusterAdaCos`.
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
            add_lora(front.transformer, rank)
        self.front = front
        self.head = EmbeddingHead(front.dims, embedding_dims)
        self.loss = SubClusterAdaCos(embedding_dims, classes, sub_clusters)

    def train(self, mode: bool = True) -> "FineTuned":
        """Set the mode of all but the front end, whose normalisation stays as published."""
        super().train(mode)
        self.front.eval()
        return self

    def forward(self, waveform: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss, a scalar, of ``(batch, samples)`` with labels ``(batch, classes)``."""
        device = waveform.device.type
        with torch.autocast(device, enabled=False):  # half precision would spoil the spectrogram
            spectrogram = self.front.spectrogram(self.front.resample(waveform))
        patches = self.front.transformer(spectrogram)
        with torch.autocast(device, enabled=False):
            embedding = self.head(patches.float()).squeeze(1)
            loss: Tensor = self.loss(embedding, labels)
        return loss
