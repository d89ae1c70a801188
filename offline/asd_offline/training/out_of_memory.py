"""Convert out-of-memory errors into ConfigError."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from asd_monitor.errors import ConfigError

_CPU_ALLOCATOR_TEXT = "can't allocate memory"
"""Part of torch's message if the CPU's memory is too small; that error has no separate class."""


@contextmanager
def out_of_memory_as_config_error() -> Iterator[None]:
    """Raise ConfigError, with advice, for out-of-memory errors inside the block.

    Raises
    ------
    ConfigError
        If a GPU or the computer has too little memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        on_gpu = isinstance(error, torch.OutOfMemoryError)
        if not (on_gpu or isinstance(error, MemoryError) or _CPU_ALLOCATOR_TEXT in str(error)):
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        msg = f"too little memory{' on the GPU' if on_gpu else ''}: {reason}"
        advice = "use a smaller batch_size or network, or free memory; checkpoints are kept"
        raise ConfigError(f"{msg}; {advice}") from error
