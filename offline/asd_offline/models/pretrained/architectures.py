"""Published audio transformers: which ones are known, and how their files become a front end."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from asd_monitor.errors import ConfigError
from asd_offline.features.frontends import Resampling
from asd_offline.models.pretrained.beats import BeatsSettings, BeatsTransformer
from asd_offline.models.pretrained.ced import HEAD_DIMS, CedSettings, CedTransformer
from asd_offline.models.pretrained.eat import EatSettings, EatTransformer
from asd_offline.models.pretrained.spectrograms import (
    FRAME,
    FRAME_HOP,
    PATCH,
    SAMPLE_RATE_HZ,
    BeatsSpectrogram,
    CedSpectrogram,
    EatSpectrogram,
)
from asd_offline.models.pretrained.weights import PublishedWeights, read_published

NAMED_AT_MOST = 6


class Transformer(Protocol):
    """What the transformers have in common, besides being modules."""

    bands: int
    """Patches one above the other."""
    dims: int
    """Values of each patch's vector."""
    most_frames: int
    """Spectrogram frames that there are positions for; 0: any number."""


@dataclass(frozen=True)
class Architecture:
    """A kind of published network."""

    prefix: str
    """That its published tensor names begin with."""
    mark: str
    """A tensor that no other kind has; less the prefix, as all that follow."""
    not_used: tuple[str, ...]
    """Beginnings of names of what only serves to name sounds."""
    first_frame_samples: int
    last_patch_whole: bool
    """Whether frames that do not fill a patch are left out, or filled up."""
    mel_bands: int
    lowest_hz: float
    highest_hz: float = 8000.0


ARCHITECTURES = {
    "beats": Architecture(
        "", "encoder.pos_conv.0.weight_g", ("predictor.",), FRAME, True, 128, 20.0
    ),
    "ced": Architecture(
        "encoder.", "time_pos_embed", ("outputlayer.", "front_end."), 0, True, 64, 0.0
    ),
    "eat": Architecture(
        "model.", "local_encoder.proj.weight", ("fc_norm.", "head."), FRAME, False, 128, 20.0
    ),
}


class PretrainedFrontEnd(nn.Module):
    """Sound to a vector for each patch of its spectrogram.

    Parameters
    ----------
    architecture
        Name of it, for messages and manifests.
    transformer
        ``(batch, frames, bands)`` to ``(batch, time patches, band patches, dims)``; see
        :class:`Transformer`.
    sample_rate_hz
        Of the sound; another rate than 16 kHz is converted first.
    """

    def __init__(self, architecture: str, transformer: nn.Module, sample_rate_hz: int) -> None:
        super().__init__()
        spectrograms = {"beats": BeatsSpectrogram, "ced": CedSpectrogram, "eat": EatSpectrogram}
        same = sample_rate_hz == SAMPLE_RATE_HZ
        self.resample = nn.Identity() if same else Resampling(sample_rate_hz, SAMPLE_RATE_HZ)
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
        """Return the shortest and the longest window; infinity where any length will do."""
        kind = ARCHITECTURES[self.architecture]
        positions = _sizes(self.transformer).most_frames // PATCH
        least = _samples_of_patches(kind, 1) / SAMPLE_RATE_HZ
        if not positions:
            return least, float("inf")
        return least, (_samples_of_patches(kind, positions + 1) - 1) / SAMPLE_RATE_HZ

    @torch.jit.unused
    def band_centres_hz(self) -> list[float]:
        """Return the middle of each band of patches, in rising order."""
        kind = ARCHITECTURES[self.architecture]
        low, high = (math.log1p(each / 700.0) for each in (kind.lowest_hz, kind.highest_hz))
        step = (high - low) / (kind.mel_bands + 1)
        centres = [low + step * (PATCH * band + 0.5 * (PATCH + 1)) for band in range(self.bands)]
        return [round(700.0 * math.expm1(each), 1) for each in centres]

    @property
    @torch.jit.unused
    def bands(self) -> int:
        """Patches one above the other."""
        return _sizes(self.transformer).bands

    @property
    @torch.jit.unused
    def dims(self) -> int:
        """Values of each patch's vector."""
        return _sizes(self.transformer).dims


def _sizes(transformer: nn.Module) -> Transformer:
    return transformer  # type: ignore[return-value] # a module with the protocol's attributes


def _samples_of_patches(kind: Architecture, patches: int) -> int:
    """Return the fewest samples that give so many patches."""
    frames = PATCH * patches if kind.last_patch_whole else PATCH * (patches - 1) + 1
    return kind.first_frame_samples + (frames - 1) * FRAME_HOP


def load_front_end(
    path: Path, sha256: str, architecture: str, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> PretrainedFrontEnd:
    """Load published weights from a local file.

    Parameters
    ----------
    sha256
        Of the file.
    architecture
        A name in :data:`ARCHITECTURES`, or ``auto``.

    Raises
    ------
    ConfigError
        If the file is missing or not the one that is meant, holds objects, is of another
        architecture or of none that is known, or has tensors that do not fit.
    """
    weights = read_published(path, sha256)
    name = _recognised(weights, architecture)
    tensors = _own_names(weights.tensors, ARCHITECTURES[name])
    try:
        transformer = _build(name, tensors, weights)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        what = f"tensor {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{path}: not a {name} checkpoint as published: {what}") from error
    _check_fit(transformer.state_dict(), tensors, name, path)
    transformer.load_state_dict(tensors)
    return PretrainedFrontEnd(name, transformer, sample_rate_hz).eval()


def _recognised(weights: PublishedWeights, wanted: str) -> str:
    found = [
        name
        for name, kind in ARCHITECTURES.items()
        if kind.mark in _own_names(weights.tensors, kind)
    ]
    if not found:
        first = ", ".join(sorted(weights.tensors)[:NAMED_AT_MOST])
        msg = (
            f"{weights.path}: expected the tensors of one of {', '.join(ARCHITECTURES)}, "
            f"found {len(weights.tensors)} others: {first} ..."
        )
        raise ConfigError(msg)
    if wanted not in {"auto", *found}:
        msg = f"{weights.path}: expected a {wanted} checkpoint, found one of {found[0]}"
        raise ConfigError(f"{msg}; set architecture to {found[0]} or auto")
    return found[0]


def _own_names(tensors: Mapping[str, Tensor], kind: Architecture) -> dict[str, Tensor]:
    """Return the tensors that are used, by their names in our module."""
    names = {name: name.removeprefix(kind.prefix) for name in tensors}
    return {
        # In CED's first files the normalisation is the second of three steps.
        own.replace("init_bn.1.", "init_bn."): tensors[name]
        for name, own in names.items()
        if not own.startswith(kind.not_used)
    }


def _build(name: str, tensors: Mapping[str, Tensor], weights: PublishedWeights) -> nn.Module:
    if name == "beats":
        if weights.settings is None:
            raise ValueError("expected its settings (cfg) beside the tensors")
        return BeatsTransformer(BeatsSettings.of(weights.settings))
    settings = CedSettings.of(tensors) if name == "ced" else EatSettings.of(tensors)
    if settings.dims % HEAD_DIMS:
        msg = f"expected vectors of a multiple of {HEAD_DIMS} values, found {settings.dims}"
        raise ValueError(msg)
    if isinstance(settings, CedSettings):
        return CedTransformer(settings)
    return EatTransformer(settings)


def _check_fit(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], name: str, path: Path
) -> None:
    shapes = [
        f"{each} (expected {tuple(expected[each].shape)}, found {tuple(found[each].shape)})"
        for each in expected
        if each in found and expected[each].shape != found[each].shape
    ]
    faults = {
        "missing": [each for each in expected if each not in found],
        "not known": [each for each in found if each not in expected],
        "of another shape": shapes,
    }
    if any(faults.values()):
        parts = [f"{what}: {_named(names)}" for what, names in faults.items() if names]
        msg = f"{path}: its tensors do not fit a {name} of these sizes; {'; '.join(parts)}"
        raise ConfigError(msg)


def _named(names: list[str]) -> str:
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
