"""Save and load model files, which carry models from training to the monitor.

A model file is a TorchScript archive of the whole path from samples to score, with the manifest
and reference windows as extra files and ``integrity.json`` as its last member. For computers
without torch it also has graphs for onnxruntime (:mod:`asd_monitor.model_file.onnx_members`). All
uses of ``torch.jit`` in the monitor are in this file and in
:mod:`asd_monitor.model_file.shared_program`, because TorchScript is deprecated upstream.
"""

import hashlib
import io
import json
import logging
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from asd_monitor.errors import ModelFileError, UntrustedModelError
from asd_monitor.model_file.archive import (
    read_bytes,
    replace_member,
    seal,
    unseal,
    write_atomically,
)
from asd_monitor.model_file.device_choice import choose_faster, make_first_calls
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.model_file.made_here import is_made_here, note_made
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.model_file.onnx_members import (
    can_score,
    differs,
    make_members,
    read_graphs,
    read_module,
)
from asd_monitor.model_file.policy import LoadPolicy
from asd_monitor.model_file.python_compiler import COMPILING
from asd_monitor.model_file.runtimes import ChosenRuntime, choose_runtime, is_installed
from asd_monitor.model_file.scan import is_scanned, scan
from asd_monitor.model_file.shared_program import DEPRECATION_TEXT, LoadedProgram, load_program
from asd_monitor.model_file.signature import read_signature
from asd_monitor.model_file.trial import Announce, Trial, TrialFailedError
from asd_monitor.model_file.verdicts import find_failure, has_passed, note_failed, note_passed
from asd_monitor.normal_sound.statistics import NormalSound
from asd_monitor.processes.memory import return_large_blocks

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

RTOL = {"cpu": 1e-4, "cuda": 1e-3, "onnx": 1e-5}
EVIDENCE_RTOL = 1e-3
"""Of evidence by onnxruntime: it is often a small difference of large numbers."""
ATOL = 1e-6
"""Rounding error of scores near zero, such as the logarithm of a probability of one."""

_MANIFEST = "manifest.json"
_REFERENCE_WINDOWS = "golden.f32"
_REFERENCE_SCORES = "golden.json"
_NORMAL_SOUND = "normal_sound.json"
"""Optional: statistics of the normal sound of each target."""
_MAX_REFERENCE_TARGETS = 16


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A model file that was checked, and not run."""

    manifest: Manifest
    sha256: str
    size_bytes: int
    origin: str
    """Who signed it, for people."""
    runtimes: tuple[ChosenRuntime, ...]
    """What can score it."""


@contextmanager
def quiet_jit() -> Iterator[None]:
    """Suppress the warning that TorchScript is deprecated, inside the block."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=DEPRECATION_TEXT)
        yield


def script(module: "torch.nn.Module") -> "torch.jit.ScriptModule":
    """Compile a module, in evaluation mode, to TorchScript."""
    import torch

    with quiet_jit(), COMPILING:
        return cast("torch.jit.ScriptModule", torch.jit.script(module.eval()))


def save(
    path: Path | str,
    module: "torch.jit.ScriptModule",
    manifest: Manifest,
    reference_windows: npt.NDArray[np.float32] | None = None,
    normal_sound: Mapping[str, NormalSound] | None = None,
) -> str:
    """Write a model file atomically, and return its SHA-256; parameters as of :func:`pack`.

    Raises
    ------
    ModelFileError
        If a score of the reference windows is not finite, or the file cannot be written.
    """
    content = pack(module, manifest, reference_windows, normal_sound)
    write_atomically(Path(path), content)
    return note_made(content)


def pack(
    module: "torch.jit.ScriptModule",
    manifest: Manifest,
    reference_windows: npt.NDArray[np.float32] | None = None,
    normal_sound: Mapping[str, NormalSound] | None = None,
    *,
    with_graphs: bool = True,
) -> bytes:
    """Return the content of a model file.

    Parameters
    ----------
    module
        ``forward(waveform (batch, window_samples), target (batch,)) -> (batch,)``, and
        optionally an exported ``evidence(waveform, target) -> (batch, bands, frames)``.
    reference_windows
        ``(n, window_samples)`` float32, or ``(n, channels, window_samples)``. Their scores are
        stored, and compared whenever the file is loaded. By default two synthetic windows: noise
        with a tone at -20 dBFS, and quiet noise.
    normal_sound
        Statistics of the normal sound of any of the targets.
    with_graphs
        Add ONNX graphs for computers without torch, if onnxruntime is installed and the module
        can be converted.

    Raises
    ------
    ModelFileError
        If a score of the reference windows is not finite, or the module uses an operator that no
        model file may use.
    """
    windows = _make_default_windows(manifest) if reference_windows is None else reference_windows
    windows = np.ascontiguousarray(windows, dtype="<f4")
    count = max(len(windows), min(len(manifest.targets), _MAX_REFERENCE_TARGETS))
    targets = [i % len(manifest.targets) for i in range(count)]
    # Scores of the module as it will be loaded, not of the one in memory.
    loaded = load_program(_serialise(module, {}), "cpu")
    model = LoadedModel(loaded.module, manifest, "", "cpu", program=loaded.program)
    scores = _score_reference_windows(model, windows, targets)
    reference = {"targets": targets, "scores": scores.tolist()}
    extra = {
        _MANIFEST: json.dumps(manifest.to_dict(), allow_nan=False).encode(),
        _REFERENCE_SCORES: json.dumps(reference, allow_nan=False).encode(),
        _REFERENCE_WINDOWS: windows.tobytes(),
    }
    if normal_sound:
        values = {target: sound.to_dict() for target, sound in normal_sound.items()}
        extra[_NORMAL_SOUND] = json.dumps(values, allow_nan=False).encode()
    archive = _serialise(module, extra)
    content = _add_graphs(archive, model, windows, targets) if with_graphs else None
    content = content or seal(archive)
    scan_content(content, Path(manifest.name))
    note_made(content)
    return content


def _add_graphs(
    archive: bytes, model: LoadedModel, windows: npt.NDArray[np.float32], targets: list[int]
) -> bytes | None:
    """Return the sealed archive with graphs for onnxruntime, if these give the same results."""
    if not is_installed("onnx"):
        return None
    manifest = model.manifest
    batch = windows[[index % len(windows) for index in range(len(targets))]], np.array(targets)
    for with_evidence in (True, False):
        members = make_members(model.module, manifest, archive, with_evidence=with_evidence)
        if not members:
            return None
        content = seal(archive, members)
        graphs = read_module(content, manifest, Path(manifest.name))
        other = LoadedModel(graphs, manifest, "", "cpu")
        if differs(model.score(*batch), other.score(*batch), RTOL["onnx"]):
            logger.warning("%s: no ONNX graphs: their scores differ", manifest.name)
            return None
        if not other.has_evidence:
            return content
        if not differs(model.evidence(*batch), other.evidence(*batch), EVIDENCE_RTOL):
            return content
        logger.warning("%s: no ONNX graphs of the evidence: it differs", manifest.name)
    return None


def read_manifest(path: Path | str) -> tuple[Manifest, str]:
    """Check a model file's integrity and return its manifest and SHA-256, without torch.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or not a model file of a supported version.
    """
    path = Path(path)
    content = read_bytes(path)
    manifest, _ = _open(content, path)
    return manifest, hashlib.sha256(content).hexdigest()


def replace_manifest(content: bytes, manifest: Manifest) -> bytes:
    """Return an admitted model file with another manifest, without a signature.

    Its code, its tensors and its reference windows stay as they are.
    """
    new = json.dumps(manifest.to_dict(), allow_nan=False).encode()
    changed = replace_member(content, f"/extra/{_MANIFEST}", new)
    note_made(changed)
    return changed


def verify(path: Path | str, policy: LoadPolicy | None = None) -> VerifiedFile:
    """Check integrity, signature and code of a model file without running anything in it.

    Raises
    ------
    ModelFileError
        If the file is missing or damaged, has code that no model needs, or may not run by the
        policy.
    """
    path = Path(path)
    return verify_content(read_bytes(path), path, policy)


def verify_content(content: bytes, path: Path, policy: LoadPolicy | None = None) -> VerifiedFile:
    """Verify as :func:`verify`, given the content of the file; errors name ``path``."""
    manifest, _ = _open(content, path)
    sha256 = hashlib.sha256(content).hexdigest()
    signature = read_signature(content)
    policy = policy or LoadPolicy()
    origin = policy.check_signature(signature, sha256, path)
    policy.check_age(signature, manifest.created_at, path)
    scan_content(content, path)
    runtimes: tuple[ChosenRuntime, ...] = ("torchscript",)
    if can_score(read_graphs(content, path), manifest):
        runtimes = ("torchscript", "onnx")
    return VerifiedFile(manifest, sha256, len(content), origin, runtimes)


def load(
    path: Path | str, device: str = "auto", threads: int = 1, policy: LoadPolicy | None = None
) -> LoadedModel:
    """Load a model file, after checking its origin, its code and its reference scores.

    A file that this monitor has not made is tried in a process with limits first, unless it has
    passed before.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``; ``auto`` is what scores faster, by measurement, where torch
        finds a CUDA device.
    threads
        CPU threads of the whole process; more than one makes latency vary when cores are shared.
    policy
        Which files may run; None: all whose code passes the checks.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of an unsupported version, not trusted, has code that no
        model needs, or does not reproduce its reference scores; or if CUDA is requested and not
        available.
    """
    path = Path(path)
    return load_content(read_bytes(path), path, device, threads, policy)


def load_content(
    content: bytes,
    path: Path,
    device: str,
    threads: int = 1,
    policy: LoadPolicy | None = None,
) -> LoadedModel:
    """Load a model as :func:`load`, from the content of its file; errors name ``path``."""
    policy = policy or LoadPolicy()
    runtime = _prepare_runtime(policy, device, path)
    with Trial(runtime) as trial:
        _admit(content, path, policy, trial)
    return load_verified(content, path, device, threads, runtime)


def try_new(
    paths: Iterable[Path], policy: LoadPolicy, announce: Announce | None = None
) -> dict[Path, ModelFileError]:
    """Check files before they are loaded, and return what is wrong; new ones share a trial."""
    problems: dict[Path, ModelFileError] = {}
    with ExitStack() as stack:
        trial: Trial | None = None
        for path in paths:
            try:
                if trial is None:
                    runtime = _prepare_runtime(policy, "auto", path)
                    trial = stack.enter_context(Trial(runtime, announce))
                _admit(read_bytes(path), path, policy, trial)
            except ModelFileError as error:
                problems[path] = error
    return problems


def _prepare_runtime(policy: LoadPolicy, device: str, path: Path) -> ChosenRuntime:
    runtime = choose_runtime(policy.runtime, device, path)
    if runtime == "onnx":  # it is chosen where there is little memory
        return_large_blocks()
    return runtime


def _admit(content: bytes, path: Path, policy: LoadPolicy, trial: Trial) -> None:
    """Check origin and code of a model file, and try it if it is new; raise ModelFileError."""
    sha256 = hashlib.sha256(content).hexdigest()
    if is_made_here(sha256):
        return
    signature = read_signature(content)
    try:
        origin = policy.check_signature(signature, sha256, path)
    except UntrustedModelError:
        _open(content, path)  # where the file is damaged, that is the reason
        raise
    if policy.is_own(signature):
        return
    manifest, _ = _open(content, path)
    policy.check_age(signature, manifest.created_at, path)
    _report_origin(path, sha256, origin)
    if has_passed(policy.verdicts, sha256, trial.runtime):
        policy.note_use(signature, manifest.created_at, path)
        return
    scan_content(content, path)
    if reason := find_failure(policy.verdicts, sha256, trial.runtime):
        msg = f"{path}: {reason} (found earlier; it is tried again after an update of the program)"
        raise ModelFileError(msg)
    try:
        trial.run(content, path)
    except TrialFailedError as error:
        reason = str(error).removeprefix(f"{path}: ")
        note_failed(policy.verdicts, sha256, trial.runtime, reason)
        raise
    note_passed(policy.verdicts, sha256, trial.runtime)
    policy.note_use(signature, manifest.created_at, path)


@lru_cache(maxsize=1024)
def _report_origin(path: Path, sha256: str, origin: str) -> None:
    """Log who signed a file, once: a start reads it several times."""
    logger.info("%s: %s", path, origin)


def scan_content(content: bytes, path: Path) -> None:
    """Raise ModelFileError if a model file has code that no model needs."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        scan({name: archive.read(name) for name in names if is_scanned(name)}, names, path)
    read_graphs(content, path)


def load_verified(
    content: bytes,
    path: Path,
    device: str,
    threads: int = 1,
    runtime: ChosenRuntime = "torchscript",
) -> LoadedModel:
    """Load a file that has been admitted, and compare its reference scores."""
    manifest, members = _open(content, path)
    sha256 = hashlib.sha256(content).hexdigest()
    normal_sound = _read_normal_sound(manifest, members, path)
    if runtime == "onnx":
        graphs = read_module(content, manifest, path)
        model = LoadedModel(graphs, manifest, sha256, "cpu", normal_sound)
    else:
        resolved = _resolve_device(device, path)
        module, program = _load_torchscript(content, path, resolved, threads)
        model = LoadedModel(module, manifest, sha256, resolved, normal_sound, program)
    _check_reference_scores(model, members, path)
    if model.device != "cuda":
        return model
    make_first_calls(model)
    if device != "auto":
        return model
    return choose_faster(model, load_verified(content, path, "cpu", threads, runtime))


def _load_torchscript(content: bytes, path: Path, device: str, threads: int) -> LoadedProgram:
    import torch

    torch.set_num_threads(threads)
    try:
        return load_program(content, device)
    except (RuntimeError, ValueError, torch.jit.Error) as error:
        # ValueError: torch quotes damaged bytes in its message, which cannot be decoded.
        reason = str(error).strip().splitlines()[-1:]
        raise ModelFileError(f"{path}: torch cannot load it: {' '.join(reason)}") from error


def _serialise(module: "torch.jit.ScriptModule", extra: Mapping[str, bytes]) -> bytes:
    import torch

    buffer = io.BytesIO()
    with quiet_jit():
        torch.jit.save(module, buffer, _extra_files=dict(extra))
    return buffer.getvalue()


def _open(content: bytes, path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest and all extra files of a model file, by name."""
    members = {}
    for name, data in unseal(content, path, is_wanted=lambda name: "/extra/" in name).items():
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
        raise ModelFileError(f"{path}: has no {name}: not a model file of asd-monitor")
    try:
        values = json.loads(members[name])
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: {name} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelFileError(f"{path}: {name}: expected an object, got {type(values).__name__}")
    return values


def _read_normal_sound(
    manifest: Manifest, members: Mapping[str, bytes], path: Path
) -> dict[str, NormalSound]:
    """Return the statistics of normal sound by target, if this version can use them."""
    if _NORMAL_SOUND not in members:
        return {}
    read = {}
    for target, values in _read_json(members, _NORMAL_SOUND, path).items():
        try:
            if target not in manifest.targets:
                raise ValueError(f"expected a target from {manifest.targets}")
            normal_sound = NormalSound.from_dict(cast("dict[str, object]", values))
        except (AttributeError, ValueError) as error:
            raise ModelFileError(f"{path}: {_NORMAL_SOUND}: {target}: {error}") from error
        if normal_sound is not None:
            read[target] = normal_sound
    return read


def _resolve_device(device: str, path: Path) -> str:
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
    # TF32 keeps 10 bits of the mantissa, which changes scores by more than RTOL["cuda"].
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return "cuda"


def _make_default_windows(manifest: Manifest) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(20200401)
    seconds = np.arange(manifest.window_samples) / manifest.sample_rate_hz
    noise = 0.1 * random.standard_normal((2, manifest.window_samples))
    noise[0] += 0.1 * np.sin(2 * np.pi * (manifest.sample_rate_hz / 16) * seconds)
    noise[1] *= 0.01
    near = np.clip(noise, -1, 1).astype(np.float32)
    if manifest.channels == 1:
        return near
    gains = 0.5 ** np.arange(manifest.channels, dtype=np.float32)
    return np.asarray(near[:, None] * gains[:, None], np.float32)


def _score_reference_windows(
    model: LoadedModel, windows: npt.NDArray[np.float32], targets: list[int]
) -> npt.NDArray[np.float64]:
    """Score reference windows one at a time; target ``i`` gets window ``i % len(windows)``."""
    scores = [
        model.score(windows[i % len(windows)][None], np.array([target]))
        for i, target in enumerate(targets)
    ]
    result = np.concatenate(scores)
    if not np.all(np.isfinite(result)):
        msg = f"model {model.manifest.name}: its reference windows do not get finite scores"
        raise ModelFileError(msg)
    return result


def _check_reference_scores(model: LoadedModel, members: Mapping[str, bytes], path: Path) -> None:
    """Raise ModelFileError unless the model reproduces the scores stored in its file."""
    reference = _read_json(members, _REFERENCE_SCORES, path)
    stored = members.get(_REFERENCE_WINDOWS, b"")
    try:
        windows = np.frombuffer(stored, "<f4").reshape(-1, *model.manifest.window_shape)
        targets = [int(target) for target in cast("list[int]", reference["targets"])]
        expected = np.asarray(reference["scores"], dtype=np.float64)
        if not len(windows) or expected.shape != (len(targets),) or not len(targets):
            raise ValueError("windows, targets and scores do not match")
        scores = _score_reference_windows(model, windows, targets)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: its reference windows cannot be used: {error}") from error
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    # Scores may be near zero, so the tolerance is relative to the largest of them.
    rtol = RTOL["onnx" if model.runtime == "onnx" else model.device]
    tolerance = rtol * float(np.abs(expected).max(initial=0.0)) + ATOL
    if not np.allclose(scores, expected, rtol=0, atol=tolerance):
        worst = int(np.argmax(np.abs(scores - expected)))
        msg = (
            f"{path}: does not reproduce its reference scores: window {worst}: "
            f"expected {expected[worst]:.6g}, got {scores[worst]:.6g} on {model.device}"
            f"{' with onnxruntime' if model.runtime == 'onnx' else ''}"
        )
        raise ModelFileError(msg)
