"""Compile, write and read TorchScript.

All uses of ``torch.jit`` in the monitor are in this file, because TorchScript is deprecated
upstream.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, cast

from asd_monitor.model_file.python_compiler import COMPILING

if TYPE_CHECKING:
    import torch

DEPRECATION_TEXT = r"`torch\.jit\.\w+` is (deprecated|not supported in Python)"
"""Warning of torch on every use of TorchScript; no other warning is suppressed."""


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


def serialise(module: "torch.jit.ScriptModule", extra: Mapping[str, bytes]) -> bytes:
    """Return the archive of a module, with extra files."""
    import torch

    buffer = io.BytesIO()
    with quiet_jit():
        torch.jit.save(module, buffer, _extra_files=dict(extra))
    return buffer.getvalue()


@cache
def _run_without_profiling() -> None:
    """Let torch run programs without observing the shapes of their tensors first.

    It would compile each program a second time for the shapes that it has observed, which takes
    processor time and memory, and which only GPUs gain from.
    """
    import torch

    set_profiling = getattr(torch._C, "_jit_set_profiling_mode", None)
    if set_profiling is not None and not torch.cuda.is_available():
        set_profiling(False)


def compile_program(content: bytes, device: str) -> "torch.jit.ScriptModule":
    """Return the module of a model file, without sharing anything; errors of torch."""
    import torch

    _run_without_profiling()
    with quiet_jit():
        module = torch.jit.load(  # type: ignore[no-untyped-call]
            io.BytesIO(content), map_location=device
        )
    return cast("torch.jit.ScriptModule", module.eval())
