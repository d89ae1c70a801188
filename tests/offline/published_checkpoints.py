"""Weights as the authors' programs write them, made up: their names, their shapes, any values.

And what the authors' networks compute with them, written here once more from the papers, with
torch's functions alone, so that nothing of the networks under test is used.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]


class Made:
    """A state dict that grows."""

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
    """``STgramMFN`` for 10 s; ``flat``: the form of before 2022, without ``arcface``."""
    made, face = Made(), "" if flat else "mobilefacenet."
    if not flat:
        made.tensor("arcface.weight", classes * centres, 128)
    made.tensor("tgramnet.conv_extrctor.weight", 128, 1, 1024)
    for i in range(3):
        made.layer_norm(f"tgramnet.conv_encoder.{i}.0", 313)
        made.tensor(f"tgramnet.conv_encoder.{i}.2.weight", 128, 128, 3)

    def block(name: str, shape: tuple[int, ...], *, linear: bool = False) -> None:
        made.tensor(f"{face}{name}.conv.weight", *shape)
        made.batch_norm(f"{face}{name}.bn", shape[0])
        if not linear:
            made.prelu(f"{face}{name}.prelu", shape[0])

    block("conv1", (64, 2, 3, 3))
    block("dw_conv1", (64, 1, 3, 3))
    before, number = 64, 0
    for expansion, channels, count, _ in stages:
        for _ in range(count):
            wide, name = expansion * before, f"{face}blocks.{number}.conv"
            made.tensor(f"{name}.0.weight", wide, before, 1, 1)
            made.tensor(f"{name}.3.weight", wide, 1, 3, 3)
            made.tensor(f"{name}.6.weight", channels, wide, 1, 1)
            for place, size in ((1, wide), (4, wide), (7, channels)):
                made.batch_norm(f"{name}.{place}", size)
            for place in (2, 5):
                made.prelu(f"{name}.{place}", wide)
            before, number = channels, number + 1
    block("conv2", (512, before, 1, 1))
    block("linear7", (512, 1, 8, 20), linear=True)
    block("linear1", (128, 512, 1, 1), linear=True)
    made.linear(f"{face}fc_out", 128, classes)
    return made.state


def stgram_embedding(state: State, waveform: Tensor, mel: Tensor, stages: Stages) -> Tensor:
    """Return ``(batch, 128)`` of ``(batch, samples)`` and decibels ``(batch, 128, 313)``."""
    tgram = F.conv1d(
        waveform[:, None], state["tgramnet.conv_extrctor.weight"], stride=512, padding=512
    )
    for i in range(3):
        name = f"tgramnet.conv_encoder.{i}"
        tgram = F.layer_norm(tgram, (313,), state[f"{name}.0.weight"], state[f"{name}.0.bias"])
        tgram = F.conv1d(F.leaky_relu(tgram, 0.2), state[f"{name}.2.weight"], padding=1)
    face = {name.removeprefix("mobilefacenet."): each for name, each in state.items()}

    def convolve(x: Tensor, conv: str, norm: str, prelu: str, stride: int, padding: int) -> Tensor:
        weight = face[f"{conv}.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = normed(face, norm, F.conv2d(x, weight, None, stride, padding, groups=groups), 1e-5)
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


def normed(state: State, name: str, x: Tensor, epsilon: float) -> Tensor:
    """Batch normalisation, trained."""
    mean, variance, weight, bias = (
        state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=epsilon)


def aegan(norm: str = "ln", *, first_norm: bool = True, channels: int = 32) -> tuple[State, State]:
    """``netG`` and ``netD``, segments of 128 bands and 128 frames."""
    made, side, before, place = Made(1), 128, 1, 0

    def add_norm(made: Made, name: str, size: int, side: int, kind: str) -> None:
        if kind == "bn":
            made.batch_norm(name, size)
        else:
            made.layer_norm(name, size, side, side)

    for i in range(5):
        after, side = channels * 2**i, side // 2
        made.tensor(f"Encoder.main.{place}.weight", after, before, 4, 4)
        if i or first_norm:
            place += 1
            add_norm(made, f"Encoder.main.{place}", after, side, norm)
        before, place = after, place + 2
    made.tensor(f"Encoder.main.{place}.weight", 256, before, 4, 4)
    made.tensor("Decoder.main.0.weight", 256, before, 4, 4)
    add_norm(made, "Decoder.main.1", before, 4, norm)
    for i in range(1, 5):
        side = 4 * 2**i
        made.tensor(f"Decoder.main.{3 * i}.weight", before, before // 2, 4, 4)
        add_norm(made, f"Decoder.main.{3 * i + 1}", before // 2, side, norm)
        before //= 2
    made.tensor("Decoder.main.15.weight", before, 1, 4, 4)
    critic, before = Made(2), 1
    for i in range(5):
        after = channels * 2**i
        critic.tensor(f"main.{i}.0.weight", after, before, 4, 4)
        add_norm(critic, f"main.{i}.1", after, 64 // 2**i, "ln")
        before = after
    critic.tensor("feat_extract_layer.0.weight", before, 1, 4, 4)
    critic.layer_norm("output_layer.0", before)
    critic.linear("output_layer.2", before, 1)
    return made.state, critic.state


def aegan_rebuilt(state: State, segments: Tensor) -> Tensor:
    """Return rebuilt ``(batch, 1, bands, frames)``, layer normalisation, with the first norm."""
    x = segments
    for place in range(0, 15, 3):
        x = F.conv2d(x, state[f"Encoder.main.{place}.weight"], stride=2, padding=1)
        x = F.leaky_relu(mapped(state, f"Encoder.main.{place + 1}", x), 0.2)
    x = F.conv2d(x, state["Encoder.main.15.weight"])
    for place in range(0, 15, 3):
        stride, padding = (2, 1) if place else (1, 0)
        x = F.conv_transpose2d(
            x, state[f"Decoder.main.{place}.weight"], stride=stride, padding=padding
        )
        x = F.relu(mapped(state, f"Decoder.main.{place + 1}", x))
    return F.conv_transpose2d(x, state["Decoder.main.15.weight"], stride=2, padding=1).tanh()


def aegan_critic(state: State, segments: Tensor) -> tuple[Tensor, Tensor]:
    """Return embeddings ``(batch, 512)`` and how real ``(batch,)``."""
    x = segments
    for i in range(5):
        x = F.conv2d(x, state[f"main.{i}.0.weight"], stride=2, padding=1)
        x = F.leaky_relu(mapped(state, f"main.{i}.1", x), 0.2)
    weight = state["feat_extract_layer.0.weight"]
    embedding = F.conv2d(x, weight, groups=len(weight)).flatten(1)
    hidden = F.leaky_relu(mapped(state, "output_layer.0", embedding), 0.2)
    return embedding, F.linear(
        hidden, state["output_layer.2.weight"], state["output_layer.2.bias"]
    ).squeeze(1)


def mapped(state: State, name: str, x: Tensor) -> Tensor:
    """Layer normalisation over all but the batch."""
    return F.layer_norm(x, x.shape[1:], state[f"{name}.weight"], state[f"{name}.bias"])


def anomaly_transformer(
    channels: int, dims: int = 512, layers: int = 3, hidden: int = 512
) -> State:
    """``AnomalyTransformer`` with 8 heads."""
    made = Made(3)
    made.tensor("embedding.value_embedding.tokenConv.weight", dims, channels, 3)
    made.tensor("embedding.position_embedding.pe", 1, 5000, dims)
    for i in range(layers):
        name = f"encoder.attn_layers.{i}"
        made.layer_norm(f"{name}.attention.norm", dims)
        for each in ("query", "key", "value", "out"):
            made.linear(f"{name}.attention.{each}_projection", dims, dims)
        made.linear(f"{name}.attention.sigma_projection", dims, 8)
        made.tensor(f"{name}.conv1.weight", hidden, dims, 1)
        made.tensor(f"{name}.conv1.bias", hidden, scale=0.1)
        made.tensor(f"{name}.conv2.weight", dims, hidden, 1)
        made.tensor(f"{name}.conv2.bias", dims, scale=0.1)
        made.layer_norm(f"{name}.norm1", dims)
        made.layer_norm(f"{name}.norm2", dims)
    made.layer_norm("encoder.norm", dims)
    made.linear("projection", dims, channels)
    return made.state


def transformer_rebuilt(state: State, x: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """Return rebuilt ``(batch, frames, channels)``, and the last layer's prior, all heads."""
    weight = state["embedding.value_embedding.tokenConv.weight"]
    dims, frames = weight.shape[0], x.shape[1]
    inner = F.conv1d(F.pad(x.transpose(1, 2), (1, 1), "circular"), weight).transpose(1, 2)
    place = torch.arange(frames)[:, None]
    steps = torch.exp(torch.arange(0, dims, 2) * (-math.log(10000.0) / dims))
    code = torch.zeros(frames, dims)
    code[:, 0::2], code[:, 1::2] = torch.sin(place * steps), torch.cos(place * steps)
    inner = inner + code
    apart = (place - place.T).abs()
    for i in range(layers):
        name = f"encoder.attn_layers.{i}"

        def dense(
            part: str, x: Tensor, kind: str = "attention.{}_projection", name: str = name
        ) -> Tensor:
            own = f"{name}.{kind.format(part)}"
            weight = state[f"{own}.weight"]
            return F.linear(x, weight.flatten(1), state[f"{own}.bias"])

        def norm(part: str, x: Tensor, name: str = name) -> Tensor:
            own = f"{name}.{part}"
            return F.layer_norm(x, (dims,), state[f"{own}.weight"], state[f"{own}.bias"])

        query, key, value = (
            dense(part, inner).unflatten(2, (8, dims // 8)).transpose(1, 2)  # type: ignore[no-untyped-call]
            for part in ("query", "key", "value")
        )
        series = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(dims // 8), dim=-1)
        sigma = 3.0 ** (torch.sigmoid(5 * dense("sigma", inner)) + 1e-5) - 1.0
        sigma = sigma.transpose(1, 2)[..., None]
        prior = torch.exp(-(apart**2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)
        mixed = (series @ value).transpose(1, 2).flatten(2)
        inner = norm("norm1", inner + dense("out", mixed))
        wide = F.gelu(dense("conv1", inner, "{}"))
        inner = norm("norm2", inner + dense("conv2", wide, "{}"))
    inner = F.layer_norm(inner, (dims,), state["encoder.norm.weight"], state["encoder.norm.bias"])
    rebuilt = F.linear(inner, state["projection.weight"], state["projection.bias"])
    return rebuilt, prior / prior.sum(-1, keepdim=True)


def aenet(dims: int = 640, hidden: int = 128, narrow: int = 8, bands: int = 128) -> State:
    """``AENet`` of DCASE 2023."""
    made = Made(4)
    made.tensor("cov_source", bands, bands)
    made.tensor("cov_target", bands, bands)
    sizes = (dims, *[hidden] * 4, narrow), (narrow, *[hidden] * 4, dims)
    for part, widths in zip(("encoder", "decoder"), sizes, strict=True):
        for i, (before, after) in enumerate(pairwise(widths)):
            made.linear(f"{part}.{3 * i}", before, after)
            if part == "encoder" or i < 4:
                made.batch_norm(f"{part}.{3 * i + 1}", after)
    return made.state


def aenet_rebuilt(state: State, vectors: Tensor) -> Tensor:
    """Return the rebuilt ``(vectors, dims)``."""
    x = vectors
    for name in [f"{part}.{3 * i}" for part in ("encoder", "decoder") for i in range(5)]:
        x = F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])
        if name != "decoder.12":
            part, place = name.split(".")
            x = normed(state, f"{part}.{int(place) + 1}", x, 1e-3).relu()
    return x


def mobilenet(classes: int) -> State:
    """Torchvision's ``mobilenet_v2`` of width 0.5."""
    made, before, number = Made(5), 16, 1

    def convolution(name: str, norm: str, *shape: int) -> None:
        made.tensor(f"{name}.weight", *shape)
        made.batch_norm(norm, shape[0])

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
    made.linear("classifier.1", 1280, classes)
    return made.state
