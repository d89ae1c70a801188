"""Where jobs run: in processes of this computer, or on a cluster."""

from collections.abc import Callable, Sequence
from pathlib import Path

from asd_monitor.processes.workers import WORKERS_PER_GPU
from asd_offline.jobs.pool import JobPool, Pool


def resolve_device(device: str, cluster: str) -> str:
    """Return ``cpu`` or ``cuda`` for ``auto``, so that all jobs score on the same.

    On a cluster it is ``cpu``, because its computers may differ.
    """
    import torch

    if device != "auto":
        return device
    return "cuda" if not cluster and torch.cuda.is_available() else "cpu"


def limit_workers(workers: int, device: str) -> int:
    """Return the number of processes that score at the same time."""
    return min(workers, WORKERS_PER_GPU) if device == "cuda" else workers


def open_pool(
    workers: int,
    preload: Sequence[str],
    *,
    cluster: str,
    shared: Path,
    device: str,
    job_bytes: int = 0,
    notify: Callable[[str], None],
) -> Pool:
    """Return a pool of processes, or of the workers of a Ray cluster.

    Parameters
    ----------
    workers
        Number of processes on this computer.
    preload
        Modules that these processes share.
    cluster
        Address of the cluster; empty: processes of this computer.
    shared
        Folder of the results, which the computers of a cluster share.
    device
        With ``cuda``, each job on the cluster gets a GPU. With ``auto`` and ``cpu`` it gets none,
        and with ``cpu`` processes of this computer see none.
    job_bytes
        Memory that each job on the cluster may take.
    notify
        Receives a line about the cluster.
    """
    if not cluster:
        return JobPool(workers, preload, hide_gpus=device == "cpu")
    from asd_offline.jobs.cluster import ClusterPool

    gpus = 1.0 if device == "cuda" else 0.0
    return ClusterPool(cluster, shared, gpus=gpus, job_bytes=job_bytes, notify=notify)
