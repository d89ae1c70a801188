"""Which library runs the models: torch, or onnxruntime where torch is not installed."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from asd_monitor.errors import ConfigError, ModelFileError

Runtime = Literal["auto", "torchscript", "onnx"]
"""``auto`` is ``torchscript`` where torch is installed, else ``onnx``."""
ChosenRuntime = Literal["torchscript", "onnx"]

LIBRARIES: dict[ChosenRuntime, str] = {"torchscript": "torch", "onnx": "onnxruntime"}
_EXTRAS: dict[ChosenRuntime, str] = {"torchscript": "torch", "onnx": "edge"}
NEITHER = (
    "models need torch or onnxruntime, and neither is installed: "
    "pip install 'asd-monitor[torch]' to learn, train and score, or "
    "pip install 'asd-monitor[edge]' to score only"
)


def is_installed(runtime: ChosenRuntime) -> bool:
    """Return whether the library of a runtime is installed; it is not imported."""
    try:
        return find_spec(LIBRARIES[runtime]) is not None
    except (ImportError, ValueError):
        return False


def require_torch(what: str, instead: str = "") -> None:
    """Raise ConfigError if torch is not installed.

    Commands call this before anything else, so that no work is lost.

    Parameters
    ----------
    what
        What needs it, such as ``learn``.
    instead
        What can be done without it, as the end of a sentence.
    """
    if not is_installed("torchscript"):
        msg = (
            f"{what} needs torch, which is not installed; install it with: "
            f"pip install 'asd-monitor[torch]'{instead and f'; or {instead}'}"
        )
        raise ConfigError(msg)


def choose_runtime(wanted: Runtime, device: str, path: Path) -> ChosenRuntime:
    """Return the runtime for a model file.

    Raises
    ------
    ModelFileError
        If the wanted one is not installed, or cannot use the device.
    """
    if wanted == "auto":
        if is_installed("torchscript"):
            return "torchscript"
        if not is_installed("onnx"):
            raise ModelFileError(f"{path}: {NEITHER}")
        wanted = "onnx"
    elif not is_installed(wanted):
        library, extra = LIBRARIES[wanted], _EXTRAS[wanted]
        msg = (
            f"{path}: the runtime {wanted} needs {library}, which is not installed: "
            f"pip install 'asd-monitor[{extra}]'"
        )
        raise ModelFileError(msg)
    if wanted == "onnx" and device == "cuda":
        msg = f"{path}: the runtime onnx scores on the CPU: set device to auto or cpu"
        raise ModelFileError(msg)
    return wanted
