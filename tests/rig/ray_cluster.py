"""A real Ray cluster of two worker processes, which listens on the loopback interface only."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.rig.mosquitto import wait_until
from tests.rig.paths import ROOT

WORKERS = 2
TASK = "ray::run_on_worker"
"""Title of a worker process while it runs a job."""


@dataclass(frozen=True)
class RayCluster:
    """A running cluster."""

    address: str
    folder: Path

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the cluster: those with its folder in their environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("ASD_TEST_CLUSTER") == str(self.folder):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def busy_workers(self) -> list[psutil.Process]:
        """Return the worker processes that run a job."""
        busy = []
        for process in self.processes():
            try:
                if TASK in " ".join(process.cmdline()):
                    busy.append(process)
            except psutil.NoSuchProcess:
                continue
        return busy

    def kill_a_busy_worker(self, is_over: threading.Event) -> None:
        """Wait until a worker runs a job, and kill it; or until the run is over."""
        found: list[psutil.Process] = []

        def look() -> bool:
            found.extend(self.busy_workers())
            return bool(found) or is_over.is_set()

        wait_until(look, "a worker that runs a job")
        with suppress(psutil.NoSuchProcess, IndexError):  # it was faster
            found[0].send_signal(signal.SIGKILL)


@contextmanager
def running_ray_cluster() -> Iterator[RayCluster]:
    """Run a cluster; this process and those that it starts may join it.

    By itself, Ray replaces 127.0.0.1 by an address that others can reach. The first variable
    prevents that, and the token keeps other users of this computer out.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets need a short path
    variables = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    options = (
        "--head --node-ip-address=127.0.0.1 --port=0 --include-dashboard=false "
        f"--num-cpus={WORKERS} --object-store-memory=80000000 --temp-dir={folder}"
    )
    path = f"{ROOT}:{ROOT / 'offline'}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        command = [str(Path(sys.executable).parent / "ray"), "start", *options.split()]
        environment = {**os.environ, "PYTHONPATH": path, "ASD_TEST_CLUSTER": str(folder)}
        cluster = RayCluster("", folder)
        try:
            started = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            assert started.returncode == 0, started.stdout + started.stderr
            address = (folder / "ray_current_cluster").read_text().strip()
            yield RayCluster(address, folder)
        finally:
            for process in cluster.processes():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            shutil.rmtree(folder, ignore_errors=True)
