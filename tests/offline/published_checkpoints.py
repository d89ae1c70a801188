"""Random weights with the names and shapes of published checkpoints, and reference outputs.

The outputs are computed from the papers with torch's functions only, independently of the networks
under test.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]


class StateBuilder:
    """Builder of a state dict of random tensors."""

    def __init__(self, seed: int = 0) -> None:
        self.state: State = {}
        self._random = torch.Generator().manual_seed(seed)

    def tensor(self, name: str, *shape: int, scale: float = 0.0) -> None:
        fan = math.prod(shape[1:]) or 1
        drawn = torch.randn(shape, generator=self._random)
        self.state[name] = drawn * (scale or 1.0 / math.sqrt(fan))

    def linear(self, name: str, before: int, after: int) -> None:
        self.tensor(f"{name}.weight", after, before)
        self.tensor(f"{name}.bias", after, scale=0.1)

    def layer_norm(self, name: str, *shape: int) -> None:
        self.state[f"{name}.weight"] = 1.0 + 0.2 * torch.randn(shape, generator=self._random)
        self.tensor(f"{name}.bias", *shape, scale=0.1)

    def batch_norm(self, name: str, size: int) -> None:
        self.layer_norm(name, size)
        self.tensor(f"{name}.running_mean", size, scale=0.1)
        self.state[f"{name}.running_var"] = 0.5 + torch.rand(size, generator=self._random)
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(77)

    def prelu(self, name: str, size: int) -> None:
        self.state[f"{name}.weight"] = 0.25 * torch.rand(size, generator=self._random)


SHALLOW = ((2, 128, 2, 2), (4, 128, 2, 2), (4, 128, 2, 2))
DEEP = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
Stages = tuple[tuple[int, int, int, int], ...]


def stgram(
    classes: int, stages: Stages = SHALLOW, centres: int = 1, *, flat: bool = False
) -> State:
    """Return weights of ``STgramMFN`` for 10 s; ``flat``: as before 2022, without ``arcface``."""
    builder, face = StateBuilder(), "" if flat else "mobilefacenet."
    if not flat:
        builder.tensor("arcface.weight", classes * centres, 128)
    builder.tensor("tgramnet.conv_extrctor.weight", 128, 1, 1024)
    for i in range(3):
        builder.layer_norm(f"tgramnet.conv_encoder.{i}.0", 313)
        builder.tensor(f"tgramnet.conv_encoder.{i}.2.weight", 128, 128, 3)

    def block(name: str, shape: tuple[int, ...], *, linear: bool = False) -> None:
        builder.tensor(f"{face}{name}.conv.weight", *shape)
        builder.batch_norm(f"{face}{name}.bn", shape[0])
        if not linear:
            builder.prelu(f"{face}{name}.prelu", shape[0])

    block("conv1", (64, 2, 3, 3))
    block("dw_conv1", (64, 1, 3, 3))
    before, number = 64, 0
    for expansion, channels, count, _ in stages:
        for _ in range(count):
            wide, name = expansion * before, f"{face}blocks.{number}.conv"
            builder.tensor(f"{name}.0.weight", wide, before, 1, 1)
            builder.tensor(f"{name}.3.weight", wide, 1, 3, 3)
            builder.tensor(f"{name}.6.weight", channels, wide, 1, 1)
            for index, size in ((1, wide), (4, wide), (7, channels)):
                builder.batch_norm(f"{name}.{index}", size)
            for index in (2, 5):
                builder.prelu(f"{name}.{index}", wide)
            before, number = channels, number + 1
    block("conv2", (512, before, 1, 1))
    block("linear7", (512, 1, 8, 20), linear=True)
    block("linear1", (128, 512, 1, 1), linear=True)
    builder.linear(f"{face}fc_out", 128, classes)
    return builder.state


def stgram_embedding(state: State, waveform: Tensor, mel: Tensor, stages: Stages) -> Tensor:
    """Return ``(batch, 128)`` of ``(batch, samples)`` and decibels ``(batch, 128, 313)``."""
    tgram = F.conv1d(
        waveform[:, None], state["tgramnet.conv_extrctor.weight"], stride=512, padding=512
    )
    for i in range(3):
        name = f"tgramnet.conv_encoder.{i}"
        tgram = F.layer_norm(tgram, (313,), state[f"{name}.0.weight"], state[f"{name}.0.bias"])
        tgram = F.conv1d(F.leaky_relu(tgram, 0.2), state[f"{name}.2.weight"], padding=1)
    face = {name.removeprefix("mobilefacenet."): tensor for name, tensor in state.items()}

    def convolve(x: Tensor, conv: str, norm: str, prelu: str, stride: int, padding: int) -> Tensor:
        weight = face[f"{conv}.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = batch_norm(face, norm, F.conv2d(x, weight, None, stride, padding, groups=groups), 1e-5)
        return F.prelu(x, face[f"{prelu}.weight"]) if prelu else x

    def block(x: Tensor, name: str, stride: int, padding: int, *, linear: bool = False) -> Tensor:
        prelu = "" if linear else f"{name}.prelu"
        return convolve(x, f"{name}.conv", f"{name}.bn", prelu, stride, padding)

    x = block(torch.stack([mel, tgram], dim=1), "conv1", 2, 1)
    x = block(x, "dw_conv1", 1, 1)
    number = 0
    for _, _, count, first in stages:
        for i in range(count):
            name, stride, before = f"blocks.{number}.conv", first if i == 0 else 1, x
            x = convolve(x, f"{name}.0", f"{name}.1", f"{name}.2", 1, 0)
            x = convolve(x, f"{name}.3", f"{name}.4", f"{name}.5", stride, 1)
            x = convolve(x, f"{name}.6", f"{name}.7", "", 1, 0)
            if x.shape == before.shape:
                x = x + before
            number += 1
    x = block(block(x, "conv2", 1, 0), "linear7", 1, 0, linear=True)
    return block(x, "linear1", 1, 0, linear=True).flatten(1)


def batch_norm(state: State, name: str, x: Tensor, epsilon: float) -> Tensor:
    """Apply batch normalisation with its running statistics."""
    mean, variance, weight, bias = (
        state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=epsilon)


def aegan(norm: str = "ln", *, first_norm: bool = True, channels: int = 32) -> tuple[State, State]:
    """Return weights of ``netG`` and ``netD`` for segments of 128 bands and 128 frames."""
    builder, side, before, index = StateBuilder(1), 128, 1, 0

    def add_norm(builder: StateBuilder, name: str, size: int, side: int, kind: str) -> None:
        if kind == "bn":
            builder.batch_norm(name, size)
        else:
            builder.layer_norm(name, size, side, side)

    for i in range(5):
        after, side = channels * 2**i, side // 2
        builder.tensor(f"Encoder.main.{index}.weight", after, before, 4, 4)
        if i or first_norm:
            index += 1
            add_norm(builder, f"Encoder.main.{index}", after, side, norm)
        before, index = after, index + 2
    builder.tensor(f"Encoder.main.{index}.weight", 256, before, 4, 4)
    builder.tensor("Decoder.main.0.weight", 256, before, 4, 4)
    add_norm(builder, "Decoder.main.1", before, 4, norm)
    for i in range(1, 5):
        side = 4 * 2**i
        builder.tensor(f"Decoder.main.{3 * i}.weight", before, before // 2, 4, 4)
        add_norm(builder, f"Decoder.main.{3 * i + 1}", before // 2, side, norm)
        before //= 2
    builder.tensor("Decoder.main.15.weight", before, 1, 4, 4)
    critic, before = StateBuilder(2), 1
    for i in range(5):
        after = channels * 2**i
        critic.tensor(f"main.{i}.0.weight", after, before, 4, 4)
        add_norm(critic, f"main.{i}.1", after, 64 // 2**i, "ln")
        before = after
    critic.tensor("feat_extract_layer.0.weight", before, 1, 4, 4)
    critic.layer_norm("output_layer.0", before)
    critic.linear("output_layer.2", before, 1)
    return builder.state, critic.state


def aegan_reconstruction(state: State, segments: Tensor) -> Tensor:
    """Return reconstructions ``(batch, 1, bands, frames)`` of the layer-normalised ``netG``."""
    x = segments
    for index in range(0, 15, 3):
        x = F.conv2d(x, state[f"Encoder.main.{index}.weight"], stride=2, padding=1)
        x = F.leaky_relu(layer_norm(state, f"Encoder.main.{index + 1}", x), 0.2)
    x = F.conv2d(x, state["Encoder.main.15.weight"])
    for index in range(0, 15, 3):
        stride, padding = (2, 1) if index else (1, 0)
        x = F.conv_transpose2d(
            x, state[f"Decoder.main.{index}.weight"], stride=stride, padding=padding
        )
        x = F.relu(layer_norm(state, f"Decoder.main.{index + 1}", x))
    return F.conv_transpose2d(x, state["Decoder.main.15.weight"], stride=2, padding=1).tanh()


def aegan_critic(state: State, segments: Tensor) -> tuple[Tensor, Tensor]:
    """Return the critic's embeddings ``(batch, 512)`` and outputs ``(batch,)``."""
    x = segments
    for i in range(5):
        x = F.conv2d(x, state[f"main.{i}.0.weight"], stride=2, padding=1)
        x = F.leaky_relu(layer_norm(state, f"main.{i}.1", x), 0.2)
    weight = state["feat_extract_layer.0.weight"]
    embedding = F.conv2d(x, weight, groups=len(weight)).flatten(1)
    hidden = F.leaky_relu(layer_norm(state, "output_layer.0", embedding), 0.2)
    return embedding, F.linear(
        hidden, state["output_layer.2.weight"], state["output_layer.2.bias"]
    ).squeeze(1)


def layer_norm(state: State, name: str, x: Tensor) -> Tensor:
    """Apply layer normalisation over all dimensions except the batch."""
    return F.layer_norm(x, x.shape[1:], state[f"{name}.weight"], state[f"{name}.bias"])


def anomaly_transformer(
    channels: int, dims: int = 512, layers: int = 3, hidden: int = 512
) -> State:
    """Return weights of ``AnomalyTransformer`` with 8 heads."""
    builder = StateBuilder(3)
    builder.tensor("embedding.value_embedding.tokenConv.weight", dims, channels, 3)
    builder.tensor("embedding.position_embedding.pe", 1, 5000, dims)
    for i in range(layers):
        name = f"encoder.attn_layers.{i}"
        builder.layer_norm(f"{name}.attention.norm", dims)
        for projection in ("query", "key", "value", "out"):
            builder.linear(f"{name}.attention.{projection}_projection", dims, dims)
        builder.linear(f"{name}.attention.sigma_projection", dims, 8)
        builder.tensor(f"{name}.conv1.weight", hidden, dims, 1)
        builder.tensor(f"{name}.conv1.bias", hidden, scale=0.1)
        builder.tensor(f"{name}.conv2.weight", dims, hidden, 1)
        builder.tensor(f"{name}.conv2.bias", dims, scale=0.1)
        builder.layer_norm(f"{name}.norm1", dims)
        builder.layer_norm(f"{name}.norm2", dims)
    builder.layer_norm("encoder.norm", dims)
    builder.linear("projection", dims, channels)
    return builder.state


def transformer_reconstruction(state: State, x: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """Return reconstructions ``(batch, frames, channels)`` and the prior of the last layer."""
    weight = state["embedding.value_embedding.tokenConv.weight"]
    dims, frames = weight.shape[0], x.shape[1]
    inner = F.conv1d(F.pad(x.transpose(1, 2), (1, 1), "circular"), weight).transpose(1, 2)
    position = torch.arange(frames)[:, None]
    steps = torch.exp(torch.arange(0, dims, 2) * (-math.log(10000.0) / dims))
    code = torch.zeros(frames, dims)
    code[:, 0::2], code[:, 1::2] = torch.sin(position * steps), torch.cos(position * steps)
    inner = inner + code
    distance = (position - position.T).abs()
    for i in range(layers):
        name = f"encoder.attn_layers.{i}"

        def dense(
            part: str, x: Tensor, kind: str = "attention.{}_projection", name: str = name
        ) -> Tensor:
            prefix = f"{name}.{kind.format(part)}"
            weight = state[f"{prefix}.weight"]
            return F.linear(x, weight.flatten(1), state[f"{prefix}.bias"])

        def norm(part: str, x: Tensor, name: str = name) -> Tensor:
            prefix = f"{name}.{part}"
            return F.layer_norm(x, (dims,), state[f"{prefix}.weight"], state[f"{prefix}.bias"])

        query, key, value = (
            dense(part, inner).unflatten(2, (8, dims // 8)).transpose(1, 2)  # type: ignore[no-untyped-call]
            for part in ("query", "key", "value")
        )
        series = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(dims // 8), dim=-1)
        sigma = 3.0 ** (torch.sigmoid(5 * dense("sigma", inner)) + 1e-5) - 1.0
        sigma = sigma.transpose(1, 2)[..., None]
        prior = torch.exp(-(distance**2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)
        mixed = (series @ value).transpose(1, 2).flatten(2)
        inner = norm("norm1", inner + dense("out", mixed))
        wide = F.gelu(dense("conv1", inner, "{}"))
        inner = norm("norm2", inner + dense("conv2", wide, "{}"))
    inner = F.layer_norm(inner, (dims,), state["encoder.norm.weight"], state["encoder.norm.bias"])
    rebuilt = F.linear(inner, state["projection.weight"], state["projection.bias"])
    return rebuilt, prior / prior.sum(-1, keepdim=True)


def aenet(dims: int = 640, hidden: int = 128, narrow: int = 8, bands: int = 128) -> State:
    """Return weights of ``AENet`` of DCASE 2023."""
    builder = StateBuilder(4)
    builder.tensor("cov_source", bands, bands)
    builder.tensor("cov_target", bands, bands)
    sizes = (dims, *[hidden] * 4, narrow), (narrow, *[hidden] * 4, dims)
    for part, widths in zip(("encoder", "decoder"), sizes, strict=True):
        for i, (before, after) in enumerate(pairwise(widths)):
            builder.linear(f"{part}.{3 * i}", before, after)
            if part == "encoder" or i < 4:
                builder.batch_norm(f"{part}.{3 * i + 1}", after)
    return builder.state


def aenet_reconstruction(state: State, vectors: Tensor) -> Tensor:
    """Return reconstructions ``(vectors, dims)``."""
    x = vectors
    for name in [f"{part}.{3 * i}" for part in ("encoder", "decoder") for i in range(5)]:
        x = F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])
        if name != "decoder.12":
            part, index = name.split(".")
            x = batch_norm(state, f"{part}.{int(index) + 1}", x, 1e-3).relu()
    return x


def mobilenet(classes: int) -> State:
    """Return weights of torchvision's ``mobilenet_v2`` of width 0.5."""
    builder, before, number = StateBuilder(5), 16, 1

    def convolution(name: str, norm: str, *shape: int) -> None:
        builder.tensor(f"{name}.weight", *shape)
        builder.batch_norm(norm, shape[0])

    convolution("features.0.0", "features.0.1", 16, 3, 3, 3)
    settings = ((1, 8, 1), (6, 16, 2), (6, 16, 3), (6, 32, 4), (6, 48, 3), (6, 80, 3), (6, 160, 1))
    for expansion, channels, count in settings:
        for _ in range(count):
            name, wide, part = f"features.{number}.conv", expansion * before, 0
            if expansion > 1:
                convolution(f"{name}.0.0", f"{name}.0.1", wide, before, 1, 1)
                part = 1
            convolution(f"{name}.{part}.0", f"{name}.{part}.1", wide, 1, 3, 3)
            convolution(f"{name}.{part + 1}", f"{name}.{part + 2}", channels, wide, 1, 1)
            before, number = channels, number + 1
    convolution("features.18.0", "features.18.1", 1280, before, 1, 1)
    builder.linear("classifier.1", 1280, classes)
    return builder.state
