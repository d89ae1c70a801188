"""Load model files that may run, and check their reference scores."""

import hashlib
from pathlib import Path

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.admission import admit, prepare_runtime
from asd_monitor.model_file.archive import read_bytes
from asd_monitor.model_file.content import open_content, read_normal_sound
from asd_monitor.model_file.device_choice import choose_faster, make_first_calls
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.model_file.onnx_members import read_module
from asd_monitor.model_file.policy import LoadPolicy
from asd_monitor.model_file.reference_scores import check_reference_scores
from asd_monitor.model_file.runtimes import ChosenRuntime
from asd_monitor.model_file.shared_program import LoadedProgram, load_program
from asd_monitor.model_file.trial import Trial


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
    runtime = prepare_runtime(policy, device, path)
    with Trial(runtime) as trial:
        admit(content, path, policy, trial)
    return load_verified(content, path, device, threads, runtime)


def load_verified(
    content: bytes,
    path: Path,
    device: str,
    threads: int = 1,
    runtime: ChosenRuntime = "torchscript",
) -> LoadedModel:
    """Load a file that has been admitted, and compare its reference scores."""
    manifest, members = open_content(content, path)
    sha256 = hashlib.sha256(content).hexdigest()
    normal_sound = read_normal_sound(manifest, members, path)
    if runtime == "onnx":
        graphs = read_module(content, manifest, path)
        model = LoadedModel(graphs, manifest, sha256, "cpu", normal_sound)
    else:
        resolved = _resolve_device(device, path)
        module, program = _load_torchscript(content, path, resolved, threads)
        model = LoadedModel(module, manifest, sha256, resolved, normal_sound, program)
    check_reference_scores(model, members, path)
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
