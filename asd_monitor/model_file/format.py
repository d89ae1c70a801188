"""The model file: the one thing that crosses from training to the monitor.

A TorchScript archive of the whole path from samples to score, with the manifest and golden
windows as extra files and ``integrity.json`` as its last member. All use of ``torch.jit`` in
the monitor stands in this file, because upstream calls TorchScript deprecated.
"""

import hashlib
import io
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.archive import read_bytes, seal, unseal, write_atomically
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.model_file.manifest import Manifest, Threshold

if TYPE_CHECKING:
    import torch

__all__ = ["LoadedModel", "Manifest", "Threshold", "load", "read_manifest", "save", "script"]

DEPRECATION_TEXT = r"`torch\.jit\.\w+` is (deprecated|not supported in Python)"
"""What torch says on every use of TorchScript; nothing else is silenced."""

RTOL = {"cpu": 1e-4, "cuda": 1e-3}
ROUNDING = 1e-6
"""What rounding may make of a score of zero: the logarithm of a probability of one, say."""

_MANIFEST = "manifest.json"
_GOLDEN_WINDOWS = "golden.f32"
_GOLDEN_SCORES = "golden.json"
_GOLDEN_TARGETS_AT_MOST = 16


@contextmanager
def _quiet_jit() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=DEPRECATION_TEXT)
        yield


def script(module: "torch.nn.Module") -> "torch.jit.ScriptModule":
    """Compile a module, set to evaluation, to TorchScript."""
    import torch

    with _quiet_jit():
        return cast("torch.jit.ScriptModule", torch.jit.script(module.eval()))


def save(
    path: Path | str,
    module: "torch.jit.ScriptModule",
    manifest: Manifest,
    golden_windows: npt.NDArray[np.float32] | None = None,
) -> str:
    """Write a model file atomically, and return its SHA-256.

    Parameters
    ----------
    module
        ``forward(waveform (batch, window_samples), target (batch,)) -> (batch,)``, and where it
        can, an exported ``evidence(waveform, target) -> (batch, bands, frames)``.
    golden_windows
        ``(n, window_samples)`` float32 that the file will be tested with whenever it is loaded;
        without it two are made: noise with a tone at -20 dBFS, and a quiet one.

    Raises
    ------
    ModelFileError
        If the module gives no finite scores on the golden windows, or the file cannot be written.
    """
    windows = _golden_windows(manifest) if golden_windows is None else golden_windows
    windows = np.ascontiguousarray(windows, dtype="<f4")
    scorer = LoadedModel(_read_module(_module_bytes(module, {}), "cpu"), manifest, "", "cpu")
    targets = [i % len(manifest.targets) for i in range(_golden_count(len(windows), manifest))]
    golden = {"targets": targets, "scores": _play(scorer, windows, targets).tolist()}
    extra = {
        _MANIFEST: json.dumps(manifest.to_dict(), allow_nan=False).encode(),
        _GOLDEN_SCORES: json.dumps(golden, allow_nan=False).encode(),
        _GOLDEN_WINDOWS: windows.tobytes(),
    }
    content = seal(_module_bytes(module, extra))
    write_atomically(Path(path), content)
    return hashlib.sha256(content).hexdigest()


def read_manifest(path: Path | str) -> tuple[Manifest, str]:
    """Return a model file's manifest and SHA-256 after checking its integrity, without torch.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or not a model file of a version that is known here.
    """
    path = Path(path)
    content = read_bytes(path)
    manifest, _ = _open(content, path)
    return manifest, hashlib.sha256(content).hexdigest()


def load(path: Path | str, device: str = "auto", threads: int = 1) -> LoadedModel:
    """Load a model file after checking its integrity, and test it with its golden windows.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``; ``auto`` takes CUDA where there is any.
    threads
        CPU threads for the whole process; more than one makes latency jump when cores are shared.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of an unknown version, or does not give the scores that
        it gave when it was made; or if CUDA is asked for and not there.
    """
    import torch

    path = Path(path)
    content = read_bytes(path)
    manifest, members = _open(content, path)
    torch.set_num_threads(threads)
    place = _device(device, path)
    try:
        module = _read_module(content, place)
    except (RuntimeError, ValueError, torch.jit.Error) as error:
        # ValueError: torch quotes damaged bytes in its message, and then cannot decode that.
        reason = str(error).strip().splitlines()[-1:]
        raise ModelFileError(f"{path}: torch cannot load it: {' '.join(reason)}") from error
    scorer = LoadedModel(module, manifest, hashlib.sha256(content).hexdigest(), place)
    _check_golden(scorer, members, path)
    return scorer


def _module_bytes(module: "torch.jit.ScriptModule", extra: Mapping[str, bytes]) -> bytes:
    import torch

    buffer = io.BytesIO()
    with _quiet_jit():
        torch.jit.save(module, buffer, _extra_files=dict(extra))
    return buffer.getvalue()


def _read_module(content: bytes, device: str) -> "torch.jit.ScriptModule":
    import torch

    with _quiet_jit():
        module = torch.jit.load(  # type: ignore[no-untyped-call]
            io.BytesIO(content), map_location=device
        )
    return cast("torch.jit.ScriptModule", module.eval())


def _open(content: bytes, path: Path) -> tuple[Manifest, dict[str, bytes]]:
    members = {}
    for name, data in unseal(content, path).items():
        folder, _, last = name.rpartition("/")
        if folder.endswith("/extra"):
            members[last] = data
    values = _read_json(members, _MANIFEST, path)
    try:
        return Manifest.from_dict(values), members
    except ValueError as error:
        raise ModelFileError(f"{path}: {_MANIFEST}: {error}") from error


def _read_json(members: Mapping[str, bytes], name: str, path: Path) -> dict[str, object]:
    if name not in members:
        raise ModelFileError(f"{path}: has no {name}: not a model file that asd-monitor made")
    try:
        values = json.loads(members[name])
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: {name} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelFileError(f"{path}: {name}: expected an object, got {type(values).__name__}")
    return values


def _device(device: str, path: Path) -> str:
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise ModelFileError(f"{path}: expected device auto, cpu or cuda, got {device!r}")
    if device == "cpu":
        return "cpu"
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        msg = f"{path}: cannot be loaded onto cuda: torch finds no CUDA device; use cpu or auto"
        raise ModelFileError(msg)
    if not available:
        return "cpu"
    # TF32 keeps 10 bits of the mantissa, which moves scores more than the golden test allows.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return "cuda"


def _golden_windows(manifest: Manifest) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(20200401)
    seconds = np.arange(manifest.window_samples) / manifest.sample_rate_hz
    noise = 0.1 * random.standard_normal((2, manifest.window_samples))
    noise[0] += 0.1 * np.sin(2 * np.pi * (manifest.sample_rate_hz / 16) * seconds)
    noise[1] *= 0.01
    return np.clip(noise, -1, 1).astype(np.float32)


def _golden_count(windows: int, manifest: Manifest) -> int:
    return max(windows, min(len(manifest.targets), _GOLDEN_TARGETS_AT_MOST))


def _play(
    scorer: LoadedModel, windows: npt.NDArray[np.float32], targets: list[int]
) -> npt.NDArray[np.float64]:
    """Score golden windows, one at a time; the i-th target gets window i modulo their number."""
    scores = [
        scorer.score(windows[i % len(windows)][None], np.array([target]))
        for i, target in enumerate(targets)
    ]
    result = np.concatenate(scores)
    if not np.all(np.isfinite(result)):
        msg = f"model {scorer.manifest.name}: its golden windows do not get finite scores"
        raise ModelFileError(msg)
    return result


def _check_golden(scorer: LoadedModel, members: Mapping[str, bytes], path: Path) -> None:
    golden = _read_json(members, _GOLDEN_SCORES, path)
    stored = members.get(_GOLDEN_WINDOWS, b"")
    try:
        windows = np.frombuffer(stored, "<f4").reshape(-1, scorer.manifest.window_samples)
        targets = [int(each) for each in cast("list[int]", golden["targets"])]
        expected = np.asarray(golden["scores"], dtype=np.float64)
        if not len(windows) or expected.shape != (len(targets),) or not len(targets):
            raise ValueError("golden windows, targets and scores do not fit each other")
        found = _play(scorer, windows, targets)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: its golden windows cannot be used: {error}") from error
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    rtol = RTOL[scorer.device]
    # Scores may lie about zero, so what is allowed follows the largest of them.
    allowed = rtol * float(np.abs(expected).max(initial=0.0)) + ROUNDING
    if not np.allclose(found, expected, rtol=0, atol=allowed):
        worst = int(np.argmax(np.abs(found - expected)))
        msg = (
            f"{path}: does not give the scores that it gave when it was made: golden window "
            f"{worst}: expected {expected[worst]:.6g}, got {found[worst]:.6g} on {scorer.device}"
        )
        raise ModelFileError(msg)
