"""An encoder of the user's as a TorchScript file, without the code of its architecture.

The code in the file is read first, and refused unless it consists of the operators that a model
file may have (:mod:`asd_monitor.model_file.scan`).
"""

import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from asd_monitor.errors import ConfigError, ModelFileError
from asd_monitor.model_file.scan import is_scanned, scan
from asd_monitor.model_file.torchscript import quiet_jit

MAX_BYTES = 2**32


class ScriptedEncoder(nn.Module):
    """Sound to a vector for each time step and band.

    Parameters
    ----------
    encoder
        ``(batch, samples)`` to ``(batch, dims)``, ``(batch, time, dims)`` or
        ``(batch, time, bands, dims)``.
    """

    def __init__(self, encoder: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, time, bands, dims)`` of ``(batch, samples)``."""
        vectors: Tensor = self.encoder(waveform)
        if vectors.dim() == 2:
            vectors = vectors.unsqueeze(1)
        if vectors.dim() == 3:
            vectors = vectors.unsqueeze(2)
        return vectors


def load_scripted_encoder(content: bytes, path: Path) -> ScriptedEncoder:
    """Load an encoder after checking its code.

    Raises
    ------
    ConfigError
        If it is not a TorchScript file, is damaged, or has code that a model file may not have.
    """
    try:
        _check_code(content, path)
        with quiet_jit():
            encoder = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]
    except ModelFileError as error:
        raise ConfigError(str(error)) from error
    except (RuntimeError, ValueError, OSError, zipfile.BadZipFile) as error:
        first_line = str(error).partition("\n")[0]
        msg = f"{path}: expected a TorchScript file, written by torch.jit.save: {first_line}"
        raise ConfigError(msg) from error
    for weight in encoder.parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ConfigError(f"{path}: has weights that are not finite")
        weight.requires_grad_(False)
    return ScriptedEncoder(encoder.float()).eval()


def _check_code(content: bytes, path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        size_bytes = sum(info.file_size for info in infos)
        if size_bytes > MAX_BYTES:
            raise ConfigError(f"{path}: unpacks to {size_bytes} bytes, more than {MAX_BYTES}")
        names = [info.filename for info in infos]
        if not any(name.partition("/")[2].startswith("code/") for name in names):
            raise ConfigError(f"{path}: expected a TorchScript file, found an archive without code")
        scan({name: archive.read(name) for name in names if is_scanned(name)}, names, path)


def check_scripted_encoder(front: nn.Module, window_samples: int, path: Path) -> None:
    """Check that an encoder maps a window to vectors.

    Parameters
    ----------
    front
        The front end with the encoder.
    window_samples
        Of a window.
    path
        Of the encoder, for errors.

    Raises
    ------
    ConfigError
        If it fails, or returns something else.
    """
    noise = 0.01 * torch.randn(2, window_samples, generator=torch.Generator().manual_seed(0))
    expected = "(2, dims), (2, time, dims) or (2, time, bands, dims)"
    try:
        with torch.no_grad():
            vectors = front(noise)
    except RuntimeError as error:
        last_line = str(error).strip().rpartition("\n")[2]
        msg = f"{path}: expected vectors {expected} of two windows of {window_samples} samples"
        raise ConfigError(f"{msg}, but the encoder failed: {last_line}") from error
    if vectors.dim() != 4 or len(vectors) != 2 or not vectors.is_floating_point():
        msg = f"{path}: expected vectors {expected} of two windows, found {tuple(vectors.shape)}"
        raise ConfigError(msg)
    if not bool(torch.isfinite(vectors).all()):
        raise ConfigError(f"{path}: its vectors of two windows of noise are not finite")
