"""Too little memory as an error that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from asd_monitor.errors import ConfigError

_OF_THE_CPU = "can't allocate memory"
"""How torch says it where the memory is the computer's own: the error has no class of its own."""


@contextmanager
def memory_told() -> Iterator[None]:
    """Turn a lack of memory inside the block into ConfigError.

    Raises
    ------
    ConfigError
        If a GPU or the computer has less memory than is asked for.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        on_gpu = isinstance(error, torch.OutOfMemoryError)
        if not (on_gpu or isinstance(error, MemoryError) or _OF_THE_CPU in str(error)):
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        msg = f"too little memory{' on the GPU' if on_gpu else ''}: {reason}"
        told = "take a smaller batch_size or network, or free memory"
        raise ConfigError(f"{msg}; {told}; epochs that were kept are not lost") from error
