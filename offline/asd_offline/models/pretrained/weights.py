"""Published weights: the file that is meant and no other, and nothing in it is ever run."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from asd_monitor.errors import ConfigError
from asd_offline.weights.reader import parse


@dataclass(frozen=True)
class PublishedWeights:
    """What a file of published weights holds."""

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    """Floating-point ones as float32."""
    settings: Mapping[str, object] | None
    """The network's settings, where the file has them (``cfg``)."""


def read_published(path: Path, sha256: str) -> PublishedWeights:
    """Read published weights after checking that they are the ones that are meant.

    Parameters
    ----------
    sha256
        Of the file, 64 hexadecimal digits.

    Raises
    ------
    ConfigError
        If the file is missing, another one, damaged, or holds anything but tensors and plain
        values, of which nothing is run then.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        msg = (
            f"{path}: expected a file of published weights: {error.strerror}; docs/models.md, "
            '"Pretrained front ends", says where to get one'
        )
        raise ConfigError(msg) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        msg = (
            f"{path}: expected SHA-256 {sha256.lower()}, found {found}; it is another file or "
            "damaged: fetch it again, or put its own SHA-256 into the recipe if it is the one meant"
        )
        raise ConfigError(msg)
    values = parse(path, content)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected tensors by name, found a {type(values).__name__}")
    settings, model = values.get("cfg"), values.get("model")
    tensors = {
        str(name): _usable(value, str(name), path)
        for name, value in (model if isinstance(model, dict) else values).items()
        if isinstance(value, Tensor)
    }
    if not tensors:
        raise ConfigError(f"{path}: expected tensors by name, found none")
    return PublishedWeights(path, found, tensors, settings if isinstance(settings, dict) else None)


def _usable(tensor: Tensor, name: str, path: Path) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    if not bool(torch.isfinite(tensor).all()):
        raise ConfigError(f"{path}: tensor {name} has values that are not finite")
    return tensor.float()
