"""Load files of published weights as front ends."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from asd_monitor.errors import ConfigError
from asd_offline.models.pretrained.architectures import ARCHITECTURES, Architecture
from asd_offline.models.pretrained.beats import BeatsSettings, BeatsTransformer
from asd_offline.models.pretrained.ced import CedSettings, CedTransformer
from asd_offline.models.pretrained.dasheng import DashengSettings, DashengTransformer
from asd_offline.models.pretrained.eat import EatSettings, EatTransformer
from asd_offline.models.pretrained.front_end import TORCHSCRIPT, PretrainedFrontEnd
from asd_offline.models.pretrained.published_weights import (
    PublishedWeights,
    read_checked,
    read_published_weights,
)
from asd_offline.models.pretrained.scripted_encoder import load_scripted_encoder
from asd_offline.models.pretrained.spectrograms import SAMPLE_RATE_HZ
from asd_offline.models.pretrained.vit import HEAD_DIMS

MAX_LISTED_NAMES = 6

Settings = TypeVar("Settings", CedSettings, DashengSettings, EatSettings)


def load_front_end(
    path: Path,
    sha256: str,
    architecture: str,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    encoder_rate_hz: int = SAMPLE_RATE_HZ,
) -> PretrainedFrontEnd:
    """Load published weights from a local file.

    Parameters
    ----------
    path
        A torch or safetensors file, or a TorchScript file.
    sha256
        SHA-256 of the file.
    architecture
        A name in :data:`ARCHITECTURES`; ``auto`` to recognise it from the tensor names; or
        ``torchscript``.
    sample_rate_hz
        Sample rate of the sound that the front end will process.
    encoder_rate_hz
        Sample rate that a TorchScript encoder expects; all others expect 16 kHz.

    Raises
    ------
    ConfigError
        If the file is missing or has another digest, holds objects, is of another or an unknown
        architecture, or has tensors that do not fit.
    """
    if architecture == TORCHSCRIPT:
        encoder = load_scripted_encoder(read_checked(path, sha256), path)
        return PretrainedFrontEnd(TORCHSCRIPT, encoder, sample_rate_hz, encoder_rate_hz).eval()
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
        if _belong(_rename_tensors(weights.tensors, architecture), architecture)
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


def _belong(tensors: Mapping[str, Tensor], architecture: Architecture) -> bool:
    if architecture.signature not in tensors:
        return False
    patches = tensors.get(architecture.patches)
    size = (architecture.patch_bands, architecture.patch_frames)
    return patches is None or set(patches.shape[-2:]) == set(size)


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
    if name == "ced":
        return CedTransformer(_checked(CedSettings.from_tensors(tensors)))
    if name == "dasheng":
        return DashengTransformer(_checked(DashengSettings.from_tensors(tensors)))
    return EatTransformer(_checked(EatSettings.from_tensors(tensors)))


def _checked(settings: Settings) -> Settings:
    if settings.dims % settings.heads:
        msg = f"expected a vector length that is a multiple of {HEAD_DIMS}, found {settings.dims}"
        raise ValueError(msg)
    return settings


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
