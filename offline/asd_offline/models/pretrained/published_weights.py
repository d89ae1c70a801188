"""Read a file of published weights, identified by its SHA-256, without running any code in it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from asd_monitor.errors import ConfigError
from asd_offline.weights.reader import parse_weights


@dataclass(frozen=True)
class PublishedWeights:
    """The content of a file of published weights."""

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    """Floating-point tensors as float32."""
    cfg: Mapping[str, object] | None
    """The network's settings, where the file has them."""


def read_checked(path: Path, sha256: str) -> bytes:
    """Return the content of a file after checking its digest, 64 hexadecimal digits.

    Raises
    ------
    ConfigError
        If the file is missing or has another digest.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        msg = (
            f"{path}: expected a file of published weights: {error.strerror}; docs/models.md, "
            '"Pretrained front ends", says where to get one'
        )
        raise ConfigError(msg) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256.lower():
        msg = (
            f"{path}: expected SHA-256 {sha256.lower()}, found {digest}; it is another file or "
            "damaged: download it again, or set sha256 in the recipe to the digest found"
        )
        raise ConfigError(msg)
    return content


def read_published_weights(path: Path, sha256: str) -> PublishedWeights:
    """Read published weights after checking the digest of the file.

    Parameters
    ----------
    path
        A torch or safetensors file.
    sha256
        SHA-256 of the file, 64 hexadecimal digits.

    Raises
    ------
    ConfigError
        If the file is missing, has another digest, is damaged, or holds anything but tensors and
        plain values, none of which is executed.
    """
    content = read_checked(path, sha256)
    values = parse_weights(path, content)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected tensors by name, found a {type(values).__name__}")
    cfg, model = values.get("cfg"), values.get("model")
    tensors = {
        str(name): _to_float32(value, str(name), path)
        for name, value in (model if isinstance(model, dict) else values).items()
        if isinstance(value, Tensor)
    }
    if not tensors:
        raise ConfigError(f"{path}: expected tensors by name, found none")
    return PublishedWeights(path, sha256.lower(), tensors, cfg if isinstance(cfg, dict) else None)


def _to_float32(tensor: Tensor, name: str, path: Path) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    if not bool(torch.isfinite(tensor).all()):
        raise ConfigError(f"{path}: tensor {name} has values that are not finite")
    return tensor.float()
