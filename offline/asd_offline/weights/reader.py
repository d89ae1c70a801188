"""Read a file of weights that others wrote, without ever running what is in it.

Torch files (a state dict, alone or under one of the usual names) are read with ``weights_only``,
where nothing but tensors and plain values is built. Safetensors files hold nothing else.
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
"""Under which names training programs keep weights, beside optimisers and counters."""
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.")
"""What DataParallel, torch.compile and Lightning put before every name."""
_CLASS = re.compile(r"GLOBAL ([\w.]+)")
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of a file, by the names that they have there."""

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor] = field(repr=False)


def read_weights(path: Path) -> WeightsFile:
    """Read a file of weights onto the CPU.

    Raises
    ------
    ConfigError
        If it is missing, of another kind, damaged, wants to run code, or holds no tensors.
    """
    try:
        content = path.read_bytes()
    except IsADirectoryError as error:
        msg = f"{path}: expected a file of weights, found a folder; of a run, give one of "
        raise ConfigError(f"{msg}its networks/*/epoch-*.pt") from error
    except OSError as error:
        raise ConfigError(f"{path}: weights cannot be read: {error.strerror}") from error
    tensors = dict(_tensors_in(parse(path, content)))
    if not tensors:
        msg = f"{path}: expected a state dict (names and tensors), alone or under one of the names "
        raise ConfigError(f"{msg}{', '.join(WEIGHTS_KEYS)}; found none")
    return WeightsFile(path, hashlib.sha256(content).hexdigest(), _unwrapped(tensors))


def parse(path: Path, content: bytes) -> object:
    """Return what a torch or safetensors file holds: tensors and plain values.

    Parameters
    ----------
    path
        For messages, and for what its suffix says.
    content
        Of the file.

    Raises
    ------
    ConfigError
        If it is of another kind, damaged, or wants to run code, of which nothing is run.
    """
    if content.startswith(_HDF5):
        msg = f"{path}: expected a torch or safetensors file, found HDF5 (Keras)"
        raise ConfigError(f"{msg}: its weights must be written as a torch state dict first")
    # A safetensors file is the length of its header in eight bytes, the header (JSON), the rest.
    if path.suffix.lower() == ".safetensors" or content[8:9] == b"{":
        return _safetensors(path, content)
    return _unpacked(path, content)


class _Ignored:
    """Takes the place of a number that numpy wrote: swallowed unread."""

    def __init__(self, *_: object) -> None:
        """Keep nothing."""

    def __setstate__(self, _: object) -> None:
        """Keep nothing."""


_NUMPY_NUMBERS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Ignored, name)
    for name in (
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "_codecs.encode",
    )
]
"""A metric kept beside the weights is often a numpy number; no code of numpy is run for it."""


def _unpacked(path: Path, content: bytes) -> object:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_NUMPY_NUMBERS):
            warnings.simplefilter("ignore")  # old files, old forms of storage
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        msg = f"{path}: refused, because it is damaged or holds more than tensors and plain values"
        # Torch's own words go on to say how to read it all the same.
        named = _CLASS.search(str(error))
        what = f" ({named[1]})" if named else ""
        msg = f"{msg}{what}, which would have to be run to be read; nothing of it was run"
        raise ConfigError(f"{msg}; save its state_dict() alone") from error
    except RuntimeError as error:
        if "TorchScript" in str(error):
            msg = f"{path}: expected weights, found a finished module (TorchScript); of a run, give"
            raise ConfigError(f"{msg} one of its networks/*/epoch-*.pt") from error
        raise ConfigError(f"{path}: not a file of weights: {_first_line(error)}") from error
    except (EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: not a file of weights: {_first_line(error)}") from error
    except (zipfile.BadZipFile, struct.error, IndexError, OSError) as error:
        raise ConfigError(f"{path}: not a file of weights: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _tensors_in(found: object) -> Iterator[tuple[str, Tensor]]:
    """Yield names and tensors; a name that two parts of the file have gets the part's before it."""
    if not isinstance(found, Mapping):
        return
    parts = {
        key: value
        for key in WEIGHTS_KEYS
        if isinstance(value := found.get(key), Mapping) and any(_named_tensors(value))
    }
    if not parts:
        yield from _named_tensors(found)
        return
    seen: set[str] = set()
    for key, part in parts.items():
        for name, tensor in _named_tensors(part):
            yield (f"{key}.{name}" if name in seen else name), tensor
            seen.add(name)


def _named_tensors(found: Mapping[object, object]) -> Iterator[tuple[str, Tensor]]:
    for name, value in found.items():
        if isinstance(name, str) and isinstance(value, Tensor) and not value.is_sparse:
            yield name, value.detach()


def _unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = dict(tensors)
    while wrapper := next((w for w in WRAPPERS if all(n.startswith(w) for n in found)), ""):
        found = {name.removeprefix(wrapper): tensor for name, tensor in found.items()}
    return found


def _safetensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError as error:
        msg = f"{path}: safetensors files need a package: pip install safetensors"
        raise ConfigError(msg) from error
    try:
        return dict(load(content))
    except SafetensorError as error:
        msg = f"{path}: a damaged safetensors file: {_first_line(error)}"
        raise ConfigError(msg) from error
