"""Learn machines again in processes of their own, for the web page."""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

MAX_PROBLEM = 500
STOP_TIMEOUT_S = 3.0

JobState = Literal["none", "running", "failed", "done"]


@dataclass(slots=True)
class _Job:
    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    config: IO[bytes]

    def close(self) -> None:
        """Close its files."""
        self.errors.close()
        self.config.close()


class RefitJobs:
    """The processes that learn machines again; one for each machine, of low priority.

    Each writes a proposal (:mod:`asd_monitor.judging.proposal`), and changes nothing else.

    Parameters
    ----------
    root
        The state folder.
    trusted_keys
        Returns the public keys of makers whose model files may run; none: all may.
    alarm_of
        Returns the alarm settings of a machine, with which the models are compared.
    """

    def __init__(
        self,
        root: Path,
        trusted_keys: Callable[[], Iterable[str]] = tuple,
        alarm_of: Callable[[str], Mapping[str, object]] = lambda _machine: {},
    ) -> None:
        self._root, self._trusted_keys, self._alarm_of = root, trusted_keys, alarm_of
        self._lock = threading.Lock()  # guards the next one
        self._jobs: dict[str, _Job] = {}

    def start(self, machine: str) -> bool:
        """Start to learn a machine again; return False if it is being learned already."""
        with self._lock:
            job = self._jobs.get(machine)
            if job is not None and job.process.poll() is None:
                return False
            errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the job
            config = self._write_config(machine)
            command = [
                sys.executable, "-m", "asd_monitor.cli", "refit", machine, "--propose", "--json",
                "--state-dir", str(self._root), "--config", config.name,
            ]  # fmt: skip
            for key in self._trusted_keys():
                command += ["--trusted-key", key]
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            if job is not None:
                job.close()
            self._jobs[machine] = _Job(process, errors, config)
        return True

    def _write_config(self, machine: str) -> IO[bytes]:
        """Return a configuration file with the alarm settings of a machine."""
        file = tempfile.NamedTemporaryFile(suffix=".yaml")  # noqa: SIM115 - closed with the job
        file.write(json.dumps({"alarm": dict(self._alarm_of(machine))}).encode())
        file.flush()
        return file

    def status(self, machine: str) -> tuple[JobState, str]:
        """Return how far a machine is, and why it failed, for the user."""
        with self._lock:
            job = self._jobs.get(machine)
            if job is None:
                return "none", ""
            code = job.process.poll()
            if code is None:
                return "running", ""
            if code == 0:
                return "done", ""
            job.errors.seek(0)
            lines = job.errors.read().decode(errors="replace").strip().splitlines()
        problem = lines[-1].removeprefix("asd-monitor: ") if lines else f"exit code {code}"
        return "failed", problem[:MAX_PROBLEM]

    def close(self) -> None:
        """End the processes; may be called twice."""
        with self._lock:
            for job in self._jobs.values():
                if job.process.poll() is None:
                    job.process.terminate()
            for job in self._jobs.values():
                try:
                    job.process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    job.process.kill()
                    job.process.wait()
                job.close()
            self._jobs.clear()
