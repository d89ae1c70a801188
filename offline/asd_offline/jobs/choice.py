"""Where jobs run: in processes of this computer, or on a cluster."""

from collections.abc import Callable, Sequence
from pathlib import Path

from asd_offline.jobs.pool import JobPool, Pool


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
        With ``cuda``, each job on the cluster gets a GPU. With ``auto`` and ``cpu`` it gets none.
    job_bytes
        Memory that each job on the cluster may take.
    notify
        Receives a line about the cluster.
    """
    if not cluster:
        return JobPool(workers, preload)
    from asd_offline.jobs.cluster import ClusterPool

    gpus = 1.0 if device == "cuda" else 0.0
    return ClusterPool(cluster, shared, gpus=gpus, job_bytes=job_bytes, notify=notify)
