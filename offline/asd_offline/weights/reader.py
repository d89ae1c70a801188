"""Read weight files of unknown origin without running any code in them.

Torch files (a state dict, alone or under one of the usual names) are read with ``weights_only``,
which builds tensors and plain values only. Safetensors files hold tensors only.
"""

import hashlib
import io
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asd_monitor.errors import ConfigError

WEIGHTS_KEYS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "weights",
    "netG",
    "netD",
    "generator",
    "discriminator",
    "clf_state_dict",
    "arcface_state_dict",
)
"""Names under which training programs save weights, next to optimisers and counters."""
NAME_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""Prefixes that DataParallel, torch.compile and Lightning add to every name."""
_REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_MAX_DEPTH = 20
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


_DAMAGED = (
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OSError,
    zipfile.BadZipFile,
    struct.error,
)
"""What torch raises for damaged files, depending on where the damage is."""


@dataclass(frozen=True)
class WeightFile:
    """The tensors of a file, by their names in it."""

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor] = field(repr=False)


def read_weights(path: Path) -> WeightFile:
    """Read a weight file onto the CPU.

    Raises
    ------
    ConfigError
        If it is missing, of another format, damaged, contains code, or holds no tensors.
    """
    try:
        content = path.read_bytes()
    except IsADirectoryError as error:
        msg = f"{path}: expected a weight file, found a folder; for a run, give one of its"
        raise ConfigError(f"{msg} networks/*/epoch-*.pt") from error
    except OSError as error:
        raise ConfigError(f"{path}: weights cannot be read: {error.strerror}") from error
    tensors = dict(_find_tensors(parse_weights(path, content)))
    if not tensors:
        msg = f"{path}: expected a state dict (names and tensors), alone or under one of the names "
        raise ConfigError(f"{msg}{', '.join(WEIGHTS_KEYS)}; found none")
    return WeightFile(path, hashlib.sha256(content).hexdigest(), _strip_prefixes(tensors))


def parse_weights(path: Path, content: bytes) -> object:
    """Return the content of a torch or safetensors file: tensors and plain values.

    Parameters
    ----------
    path
        For messages, and for its suffix.
    content
        Of the file.

    Raises
    ------
    ConfigError
        If it is of another format, damaged, contains code, which is not run, or has a tensor that
        is larger than the file.
    """
    if content.startswith(_HDF5_SIGNATURE):
        msg = f"{path}: expected a torch or safetensors file, found HDF5 (Keras)"
        raise ConfigError(f"{msg}: its weights must be written as a torch state dict first")
    values = _parse(path, content)
    for name, tensor in _all_tensors(values):
        size_bytes = tensor.numel() * tensor.element_size()
        if size_bytes > len(content):
            msg = f"{path}: {name} would take {size_bytes} bytes, more than the file: refused"
            raise ConfigError(msg)
    return values


def _all_tensors(
    values: object, name: str = "a tensor", depth: int = 0
) -> Iterator[tuple[str, Tensor]]:
    """Yield all dense tensors in nested mappings and sequences, with the name of each."""
    if isinstance(values, Tensor):
        if not values.is_sparse:
            yield name, values
    elif depth < _MAX_DEPTH and isinstance(values, Mapping):
        for key, value in values.items():
            yield from _all_tensors(value, str(key), depth + 1)
    elif depth < _MAX_DEPTH and isinstance(values, list | tuple):
        for value in values:
            yield from _all_tensors(value, name, depth + 1)


def _parse(path: Path, content: bytes) -> object:
    # A safetensors file is the length of its header in eight bytes, the header (JSON), the rest.
    if path.suffix.lower() == ".safetensors" or content[8:9] == b"{":
        return _load_safetensors(path, content)
    return _load_torch(path, content)


class _Ignored:
    """Replaces a number that numpy wrote, which is not read."""

    def __init__(self, *_: object) -> None:
        """Discard the arguments."""

    def __setstate__(self, _: object) -> None:
        """Discard the state."""


_NUMPY_NUMBERS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Ignored, name)
    for name in (
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "_codecs.encode",
    )
]
"""Metrics saved with the weights are often numpy numbers; no code of numpy is run for them."""


def _load_torch(path: Path, content: bytes) -> object:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_NUMPY_NUMBERS):
            warnings.simplefilter("ignore")  # old files have deprecated storage types
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        msg = f"{path}: refused, because it is damaged or holds more than tensors and plain values"
        # Torch's message continues with how to read it in spite of that, so it is not shown.
        refused = _REFUSED_GLOBAL.search(str(error))
        name = f" ({refused[1]})" if refused else ""
        msg = f"{msg}{name}, which would run code when read; no code was run"
        raise ConfigError(f"{msg}; save its state_dict() alone") from error
    except RuntimeError as error:
        if "TorchScript" in str(error):
            msg = f"{path}: expected weights, found an exported module (TorchScript); for a run,"
            raise ConfigError(f"{msg} give one of its networks/*/epoch-*.pt") from error
        raise ConfigError(f"{path}: not a weight file: {_first_line(error)}") from error
    except _DAMAGED as error:
        raise ConfigError(f"{path}: not a weight file: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _find_tensors(content: object) -> Iterator[tuple[str, Tensor]]:
    """Yield names and tensors; a name in two parts of the file is prefixed with its part's."""
    if not isinstance(content, Mapping):
        return
    parts = {
        key: value
        for key in WEIGHTS_KEYS
        if isinstance(value := content.get(key), Mapping) and any(_named_tensors(value))
    }
    if not parts:
        yield from _named_tensors(content)
        return
    seen: set[str] = set()
    for key, part in parts.items():
        for name, tensor in _named_tensors(part):
            yield (f"{key}.{name}" if name in seen else name), tensor
            seen.add(name)


def _named_tensors(mapping: Mapping[object, object]) -> Iterator[tuple[str, Tensor]]:
    for name, value in mapping.items():
        if isinstance(name, str) and isinstance(value, Tensor) and not value.is_sparse:
            yield name, value.detach()


def _strip_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    stripped = dict(tensors)
    while prefix := next(
        (p for p in NAME_PREFIXES if all(name.startswith(p) for name in stripped)), ""
    ):
        stripped = {name.removeprefix(prefix): tensor for name, tensor in stripped.items()}
    return stripped


def _load_safetensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError as error:
        msg = f"{path}: safetensors files need a package: pip install safetensors"
        raise ConfigError(msg) from error
    try:
        return dict(load(content))
    except SafetensorError as error:
        msg = f"{path}: damaged safetensors file: {_first_line(error)}"
        raise ConfigError(msg) from error
