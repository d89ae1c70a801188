"""Python, torch, processors, GPU."""

import os
import platform
import sys

from asd_monitor.doctor.context import Case
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import ConfigError, ModelFileError

OLDEST_PYTHON, PYTHON_TOO_NEW = (3, 11), (3, 14)
BUSY = 1.5
"""Programs that want to run, per processor, from which on windows may be late."""


def check_python() -> list[Finding]:
    """Tell whether this Python is one that the program was made for."""
    version = platform.python_version()
    if OLDEST_PYTHON <= sys.version_info[:2] < PYTHON_TOO_NEW:
        return [ok("python", f"Python {version} on {platform.system()} {platform.machine()}")]
    advice = "install asd-monitor with Python 3.11, 3.12 or 3.13"
    return [failed("python", f"Python {version} is not supported", advice, ConfigError)]


def check_processors() -> list[Finding]:
    """Tell how many processors there are for the monitor, and how busy they are."""
    count = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    told = f"{count} processor(s), load {load:.1f}"
    if load <= BUSY * count:
        return [ok("processors", told, processors=count, load=round(load, 2))]
    advice = "other programs want more than there is; see `top`"
    return [warning("processors", told, advice, processors=count, load=round(load, 2))]


def check_torch() -> list[Finding]:
    """Tell which torch there is, and with how many threads it runs by itself."""
    try:
        import torch
    except (ImportError, OSError) as error:
        advice = "install asd-monitor again: pip install --force-reinstall asd-monitor"
        return [failed("torch", f"torch cannot be imported: {error}", advice, ModelFileError)]
    threads = torch.get_num_threads()
    told = f"torch {torch.__version__}; the monitor uses one thread of {threads} for models"
    return [ok("torch", told, version=str(torch.__version__), threads=threads)]


def check_gpu(case: Case) -> list[Finding]:
    """Tell whether models can run where the settings want them."""
    wanted = case.config.device
    if wanted == "cpu":
        return [ok("gpu", "not asked for: models run on the CPU")]
    try:
        import torch
    except (ImportError, OSError):
        return []  # check_torch has told it
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        return [ok("gpu", f"models run on {name}", name=name)]
    if wanted == "auto":
        return [ok("gpu", "there is none that torch can use: models run on the CPU")]
    advice = "install the NVIDIA driver and a torch built for CUDA, or set device to auto or cpu"
    return [failed("gpu", "CUDA is asked for, but torch finds no GPU", advice, ModelFileError)]
