"""Real processes that start in milliseconds: forked from a server that has imported torch."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.rig.ports import free_port

PRELOADED_MODULES = ("torch", "asd_offline.training.run")


def start(function: Callable[..., object], *arguments: object) -> BaseProcess:
    """Call a function of a module, with picklable arguments, in another process."""
    context = get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED_MODULES))
    process = context.Process(target=function, args=arguments)
    process.start()
    return process


def start_command(
    arguments: Sequence[object], stderr: Path, environment: Mapping[str, str] | None = None
) -> BaseProcess:
    """Run ``asd-monitor`` with these arguments; its stdout is discarded.

    Parameters
    ----------
    arguments
        Of the command line.
    stderr
        File for its stderr.
    environment
        Additional variables.
    """
    return start(_run_command, list(map(str, arguments)), str(stderr), dict(environment or {}))


def distributed_environments(world_size: int) -> list[dict[str, str]]:
    """Return the variables that ``torchrun`` sets in each of its processes."""
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(world_size),
    }
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world_size)]


def _run_command(arguments: list[str], stderr: str, environment: dict[str, str]) -> None:
    import torch

    from asd_monitor.cli import main

    os.environ.update(environment)
    torch.set_num_threads(1)
    # The server may have been started while its parent ignored or blocked interrupts, as pools do.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for descriptor, path in ((1, os.devnull), (2, stderr)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = ["asd-monitor", *arguments]
    main()
