"""Check Python, the processors, torch, and the GPU."""

import os
import platform
import sys

from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import ConfigError, ModelFileError
from asd_monitor.model_file.runtimes import NEITHER, is_installed
from asd_monitor.processes.workers import available_cores

MIN_PYTHON, FIRST_UNSUPPORTED_PYTHON = (3, 11), (3, 14)
MAX_LOAD_PER_PROCESSOR = 1.5
"""At a higher load average, windows may be scored late."""


def check_python() -> list[Finding]:
    """Check that this version of Python is supported."""
    version = platform.python_version()
    if MIN_PYTHON <= sys.version_info[:2] < FIRST_UNSUPPORTED_PYTHON:
        return [ok("python", f"Python {version} on {platform.system()} {platform.machine()}")]
    hint = "install asd-monitor with Python 3.11, 3.12 or 3.13"
    return [failed("python", f"Python {version} is not supported", hint, ConfigError)]


def check_processors(context: Context) -> list[Finding]:
    """Count the processors that the monitor may use, and check that they are not overloaded.

    More threads that score than processors make windows late.
    """
    count = available_cores()
    load, workers = os.getloadavg()[0], context.config.inference.count_workers()
    threads = "1 thread scores" if workers == 1 else f"{workers} threads score"
    message = f"{count} processor(s), load {load:.1f}; {threads}"
    facts = {"processors": count, "load": round(load, 2), "workers": workers}
    if workers > count:
        hint = "set inference.workers to auto, or to the number of processors at most"
        return [warning("processors", message, hint, **facts)]
    if load <= MAX_LOAD_PER_PROCESSOR * count:
        return [ok("processors", message, **facts)]
    hint = "other programs overload this computer; see `top`"
    return [warning("processors", message, hint, **facts)]


def check_torch() -> list[Finding]:
    """Check that torch can be imported, and report its version and number of threads."""
    if not is_installed("torchscript"):
        return [_check_onnxruntime()]
    try:
        import torch
    except (ImportError, OSError) as error:
        hint = "install it again: pip install --force-reinstall 'asd-monitor[torch]'"
        return [failed("torch", f"torch cannot be imported: {error}", hint, ModelFileError)]
    threads = torch.get_num_threads()
    if torch.version.cuda and not torch.cuda.is_available():
        hint = "with TORCH=cpu, `make install-service` needs 0.9 GB instead of 5.5 GB"
        message = f"torch {torch.__version__} is built for CUDA {torch.version.cuda}, without a GPU"
        return [warning("torch", message, hint, version=str(torch.__version__), threads=threads)]
    message = f"torch {torch.__version__}; a call of a model uses one of its {threads} thread(s)"
    return [ok("torch", message, version=str(torch.__version__), threads=threads)]


def _check_onnxruntime() -> Finding:
    """Check that onnxruntime can be imported, where torch is not installed."""
    if not is_installed("onnx"):
        message, _, hint = NEITHER.partition(": ")
        return failed("runtime", message, hint, ModelFileError)
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        hint = "install it again: pip install --force-reinstall 'asd-monitor[edge]'"
        message = f"onnxruntime cannot be imported: {error}"
        return failed("runtime", message, hint, ModelFileError)
    version = str(onnxruntime.__version__)
    message = f"torch is not installed: onnxruntime {version} scores; learning needs torch"
    return ok("runtime", message, version=version)


def check_gpu(context: Context) -> list[Finding]:
    """Check that models can run on the device of the settings."""
    device = context.config.device
    if device == "cpu":
        return [ok("gpu", "not needed: models run on the CPU")]
    if context.config.runtime == "onnx" or not is_installed("torchscript"):
        if device == "auto":
            return [ok("gpu", "not used: onnxruntime runs models on the CPU")]
        hint = "set device to auto or cpu, or install torch: pip install 'asd-monitor[torch]'"
        return [failed("gpu", "onnxruntime runs models on the CPU only", hint, ModelFileError)]
    try:
        import torch
    except (ImportError, OSError):
        return []  # reported by check_torch
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        return [ok("gpu", f"models run on {name}", name=name)]
    if device == "auto":
        return [ok("gpu", "torch finds no GPU: models run on the CPU")]
    hint = "install the NVIDIA driver and a torch built for CUDA, or set device to auto or cpu"
    return [failed("gpu", "the device is set to cuda, but torch finds no GPU", hint,
                   ModelFileError)]  # fmt: skip
