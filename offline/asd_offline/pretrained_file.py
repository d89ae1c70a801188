"""Published weights from a file that need not be trusted: tensors and plain values, never objects.

Two kinds are read: safetensors (a JSON header and raw numbers), and what ``torch.save`` writes,
with torch's restricted unpickler, which knows tensors, numbers, texts, lists and dicts only.
"""

import hashlib
import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from asd_monitor.errors import ConfigError

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_CLASS = re.compile(r"GLOBAL ([\w.]+)")
_SAVE_ANEW = (
    "where you trust its source, save its tensors with safetensors.torch.save_file on another "
    "machine, and give that file"
)


@dataclass(frozen=True)
class WeightsFile:
    """What a file of published weights holds."""

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    """Floating-point ones as float32."""
    settings: Mapping[str, object] | None
    """The network's settings, where the file has them (``cfg``)."""


def read_weights(path: Path, sha256: str) -> WeightsFile:
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
    values = _from_torch(content, path) if content[:4] == _ZIP else _from_safetensors(content, path)
    settings, model = values.get("cfg"), values.get("model")
    tensors = model if isinstance(model, dict) else values
    usable = {
        str(name): _usable(value, str(name), path)
        for name, value in tensors.items()
        if isinstance(value, Tensor)
    }
    if not usable:
        raise ConfigError(f"{path}: expected tensors by name, found none")
    return WeightsFile(path, found, usable, settings if isinstance(settings, dict) else None)


def _from_torch(content: bytes, path: Path) -> dict[str, object]:
    try:
        values = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        what = _CLASS.search(str(error))
        found = f"objects of {what[1]}" if what else "objects"
        msg = f"{path}: refused: it holds {found} besides tensors; nothing of it was run"
        raise ConfigError(f"{msg}; {_SAVE_ANEW}") from error
    except (RuntimeError, zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
        raise ConfigError(f"{path}: damaged: it cannot be read as a file of torch") from error
    if not isinstance(values, dict):
        msg = f"{path}: expected tensors by name, found one {type(values).__name__}"
        raise ConfigError(msg)
    return values


def _from_safetensors(content: bytes, path: Path) -> dict[str, object]:
    if content[:1] == _PICKLE and content[8:9] != b"{":
        msg = f"{path}: refused: a bare pickle can hold any object; nothing of it was run"
        raise ConfigError(f"{msg}; {_SAVE_ANEW}")
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return dict(load(content))
    except SafetensorError as error:
        msg = f"{path}: expected a file of torch.save or safetensors; it is neither, or damaged"
        raise ConfigError(f"{msg} ({error})") from error


def _usable(tensor: Tensor, name: str, path: Path) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    if not bool(torch.isfinite(tensor).all()):
        raise ConfigError(f"{path}: tensor {name} has values that are not finite")
    return tensor.float()
