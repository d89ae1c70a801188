"""Check Python, the processors, torch, and the GPU."""

import os
import platform
import sys

from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import ConfigError, ModelFileError

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


def check_processors() -> list[Finding]:
    """Count the processors that the monitor may use, and check that they are not overloaded."""
    count = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    message = f"{count} processor(s), load {load:.1f}"
    if load <= MAX_LOAD_PER_PROCESSOR * count:
        return [ok("processors", message, processors=count, load=round(load, 2))]
    hint = "other programs overload this computer; see `top`"
    return [warning("processors", message, hint, processors=count, load=round(load, 2))]


def check_torch() -> list[Finding]:
    """Check that torch can be imported, and report its version and number of threads."""
    try:
        import torch
    except (ImportError, OSError) as error:
        hint = "install asd-monitor again: pip install --force-reinstall asd-monitor"
        return [failed("torch", f"torch cannot be imported: {error}", hint, ModelFileError)]
    threads = torch.get_num_threads()
    if torch.version.cuda and not torch.cuda.is_available():
        hint = "with TORCH=cpu, `make install-service` needs 0.9 GB instead of 5.5 GB"
        message = f"torch {torch.__version__} is built for CUDA {torch.version.cuda}, without a GPU"
        return [warning("torch", message, hint, version=str(torch.__version__), threads=threads)]
    message = f"torch {torch.__version__}; the monitor uses one thread of {threads} for models"
    return [ok("torch", message, version=str(torch.__version__), threads=threads)]


def check_gpu(context: Context) -> list[Finding]:
    """Check that models can run on the device of the settings."""
    device = context.config.device
    if device == "cpu":
        return [ok("gpu", "not needed: models run on the CPU")]
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
