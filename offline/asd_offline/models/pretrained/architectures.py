"""The published audio transformers that are supported, and loading their files as front ends."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from asd_monitor.errors import ConfigError
from asd_offline.features.resampling import Resampling
from asd_offline.models.pretrained.beats import BeatsSettings, BeatsTransformer
from asd_offline.models.pretrained.ced import CedSettings, CedTransformer
from asd_offline.models.pretrained.eat import EatSettings, EatTransformer
from asd_offline.models.pretrained.published_weights import (
    PublishedWeights,
    read_published_weights,
)
from asd_offline.models.pretrained.spectrograms import (
    FRAME_HOP_SAMPLES,
    FRAME_SAMPLES,
    PATCH,
    SAMPLE_RATE_HZ,
    BeatsSpectrogram,
    CedSpectrogram,
    EatSpectrogram,
)
from asd_offline.models.pretrained.vit import HEAD_DIMS

MAX_LISTED_NAMES = 6


class Transformer(Protocol):
    """Attributes that the transformers have in common."""

    band_patches: int
    """Patches along the frequency axis."""
    dims: int
    """Length of a patch's vector."""
    max_frames: int
    """Spectrogram frames that there are positions for; 0: any number."""


@dataclass(frozen=True)
class Architecture:
    """Facts about one kind of published network and its files."""

    prefix: str
    """Of its published tensor names."""
    signature: str
    """Name of a tensor that no other architecture has, without the prefix."""
    ignored: tuple[str, ...]
    """Prefixes of tensors that only serve classification, without ``prefix``."""
    first_frame_samples: int
    """Samples needed for the first spectrogram frame."""
    drops_partial_patch: bool
    """Whether frames that do not fill a patch are dropped; otherwise they are padded."""
    mel_bands: int
    min_hz: float
    max_hz: float = 8000.0

    def min_samples(self, patches: int) -> int:
        """Return the smallest number of samples that yields ``patches`` patches in time."""
        frames = PATCH * patches if self.drops_partial_patch else PATCH * (patches - 1) + 1
        return self.first_frame_samples + (frames - 1) * FRAME_HOP_SAMPLES


ARCHITECTURES = {
    "beats": Architecture(
        prefix="",
        signature="encoder.pos_conv.0.weight_g",
        ignored=("predictor.",),
        first_frame_samples=FRAME_SAMPLES,
        drops_partial_patch=True,
        mel_bands=128,
        min_hz=20.0,
    ),
    "ced": Architecture(
        prefix="encoder.",
        signature="time_pos_embed",
        ignored=("outputlayer.", "front_end."),
        first_frame_samples=0,
        drops_partial_patch=True,
        mel_bands=64,
        min_hz=0.0,
    ),
    "eat": Architecture(
        prefix="model.",
        signature="local_encoder.proj.weight",
        ignored=("fc_norm.", "head."),
        first_frame_samples=FRAME_SAMPLES,
        drops_partial_patch=False,
        mel_bands=128,
        min_hz=20.0,
    ),
}


class PretrainedFrontEnd(nn.Module):
    """Sound to a vector for each patch of its spectrogram.

    Parameters
    ----------
    architecture
        A name in :data:`ARCHITECTURES`.
    transformer
        ``(batch, frames, bands)`` to ``(batch, time patches, band patches, dims)``; see
        :class:`Transformer`.
    sample_rate_hz
        Sample rate of the sound; converted to 16 kHz if it differs.
    """

    def __init__(self, architecture: str, transformer: nn.Module, sample_rate_hz: int) -> None:
        super().__init__()
        spectrograms = {"beats": BeatsSpectrogram, "ced": CedSpectrogram, "eat": EatSpectrogram}
        needs_resampling = sample_rate_hz != SAMPLE_RATE_HZ
        self.resample = (
            Resampling(sample_rate_hz, SAMPLE_RATE_HZ) if needs_resampling else nn.Identity()
        )
        self.spectrogram = spectrograms[architecture]()
        self.transformer = transformer
        self.architecture = architecture
        self.sample_rate_hz = sample_rate_hz

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, time patches, band patches, dims)`` of ``(batch, samples)``."""
        patches: Tensor = self.transformer(self.spectrogram(self.resample(waveform)))
        return patches

    @torch.jit.unused
    def window_limits_s(self) -> tuple[float, float]:
        """Return the minimum and maximum window length; infinity if there is no maximum."""
        architecture = ARCHITECTURES[self.architecture]
        min_s = architecture.min_samples(1) / SAMPLE_RATE_HZ
        max_patches = _attributes(self.transformer).max_frames // PATCH
        if not max_patches:
            return min_s, float("inf")
        return min_s, (architecture.min_samples(max_patches + 1) - 1) / SAMPLE_RATE_HZ

    @torch.jit.unused
    def band_centres_hz(self) -> list[float]:
        """Return the centre frequency of each band of patches, ascending."""
        architecture = ARCHITECTURES[self.architecture]
        # Mel frequency without its constant factor: mel = 1127 ln(1 + f / 700).
        min_mel, max_mel = (
            math.log1p(hz / 700.0) for hz in (architecture.min_hz, architecture.max_hz)
        )
        step = (max_mel - min_mel) / (architecture.mel_bands + 1)
        centres = [
            min_mel + step * (PATCH * band + 0.5 * (PATCH + 1)) for band in range(self.band_patches)
        ]
        return [round(700.0 * math.expm1(centre), 1) for centre in centres]

    @property
    @torch.jit.unused
    def band_patches(self) -> int:
        """Patches along the frequency axis."""
        return _attributes(self.transformer).band_patches

    @property
    @torch.jit.unused
    def dims(self) -> int:
        """Length of a patch's vector."""
        return _attributes(self.transformer).dims


def _attributes(transformer: nn.Module) -> Transformer:
    return transformer  # type: ignore[return-value] # a module with the protocol's attributes


def load_front_end(
    path: Path, sha256: str, architecture: str, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> PretrainedFrontEnd:
    """Load published weights from a local file.

    Parameters
    ----------
    path
        A torch or safetensors file.
    sha256
        SHA-256 of the file.
    architecture
        A name in :data:`ARCHITECTURES`, or ``auto`` to recognise it from the tensor names.
    sample_rate_hz
        Sample rate of the sound that the front end will process.

    Raises
    ------
    ConfigError
        If the file is missing or has another digest, holds objects, is of another or an unknown
        architecture, or has tensors that do not fit.
    """
    weights = read_published_weights(path, sha256)
    name = _recognise(weights, architecture)
    tensors = _rename_tensors(weights.tensors, ARCHITECTURES[name])
    try:
        transformer = _build(name, tensors, weights)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        what = f"tensor {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{path}: not a {name} checkpoint as published: {what}") from error
    _check_fit(transformer.state_dict(), tensors, name, path)
    transformer.load_state_dict(tensors)
    return PretrainedFrontEnd(name, transformer, sample_rate_hz).eval()


def _recognise(weights: PublishedWeights, requested: str) -> str:
    """Return the name of the architecture that the tensors belong to."""
    matches = [
        name
        for name, architecture in ARCHITECTURES.items()
        if architecture.signature in _rename_tensors(weights.tensors, architecture)
    ]
    if not matches:
        first = ", ".join(sorted(weights.tensors)[:MAX_LISTED_NAMES])
        msg = (
            f"{weights.path}: expected the tensors of one of {', '.join(ARCHITECTURES)}, "
            f"found {len(weights.tensors)} others: {first} ..."
        )
        raise ConfigError(msg)
    if requested not in {"auto", *matches}:
        msg = f"{weights.path}: expected a {requested} checkpoint, found a {matches[0]} checkpoint"
        raise ConfigError(f"{msg}; set architecture to {matches[0]} or auto")
    return matches[0]


def _rename_tensors(tensors: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Return the tensors that are used, by their names in our module."""
    renamed = {name: name.removeprefix(architecture.prefix) for name in tensors}
    return {
        # In CED's first files the normalisation is the second of three steps.
        ours.replace("init_bn.1.", "init_bn."): tensors[theirs]
        for theirs, ours in renamed.items()
        if not ours.startswith(architecture.ignored)
    }


def _build(name: str, tensors: Mapping[str, Tensor], weights: PublishedWeights) -> nn.Module:
    if name == "beats":
        if weights.cfg is None:
            raise ValueError("expected its settings (cfg) next to the tensors")
        return BeatsTransformer(BeatsSettings.from_cfg(weights.cfg))
    settings = (CedSettings if name == "ced" else EatSettings).from_tensors(tensors)
    if settings.dims % HEAD_DIMS:
        msg = f"expected a vector length that is a multiple of {HEAD_DIMS}, found {settings.dims}"
        raise ValueError(msg)
    if isinstance(settings, CedSettings):
        return CedTransformer(settings)
    return EatTransformer(settings)


def _check_fit(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], architecture: str, path: Path
) -> None:
    mismatched = [
        f"{name} (expected {tuple(tensor.shape)}, found {tuple(found[name].shape)})"
        for name, tensor in expected.items()
        if name in found and tensor.shape != found[name].shape
    ]
    problems = {
        "missing": [name for name in expected if name not in found],
        "unknown": [name for name in found if name not in expected],
        "of another shape": mismatched,
    }
    if any(problems.values()):
        parts = [f"{problem}: {_listed(names)}" for problem, names in problems.items() if names]
        msg = f"{path}: its tensors do not fit a {architecture} of these sizes; {'; '.join(parts)}"
        raise ConfigError(msg)


def _listed(names: list[str]) -> str:
    more = len(names) - MAX_LISTED_NAMES
    return ", ".join(names[:MAX_LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")
