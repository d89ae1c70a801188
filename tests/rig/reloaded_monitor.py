"""A monitor in a process without a terminal, as a service is, whose configuration is reloaded."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import yaml

from tests.rig.mosquitto import wait_until
from tests.rig.ports import free_port

COMMAND = [sys.executable, "-m", "asd_monitor.cli", "run"]


class ReloadedMonitor:
    """A running ``asd-monitor run --config``, with the socket of a service manager.

    Parameters
    ----------
    folder
        Where configuration, log, scores and state are.
    config
        The configuration at the start, to which places and ports are added.
    environment
        Environment of the process.
    options
        Further options of the command.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        environment: dict[str, str],
        options: tuple[str, ...] = (),
    ) -> None:
        self.path, self.log_path = folder / "monitor.yaml", folder / "log"
        self.scores_path = folder / "scores.jsonl"
        self.port = free_port()
        self.config: dict[str, Any] = {
            "node": "test",
            "state_dir": str(folder / "state"),
            "prometheus": {"port": self.port},
            "web": None,
            "mqtt": None,
            "log": {"scores": str(self.scores_path)},
            **config,
        }
        self.write()
        self._notified: list[dict[str, str]] = []
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(folder / "notify"))
        self._manager.setblocking(False)
        environ = environment | {"NOTIFY_SOCKET": str(folder / "notify")}
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "--config", str(self.path), *options],
                env=os.environ | environ,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(400)
        finally:
            self.process.kill()
            self._manager.close()

    @property
    def log(self) -> str:
        """What it has logged."""
        return self.log_path.read_text()

    def write(self) -> None:
        """Replace the configuration file."""
        self.path.write_text(yaml.safe_dump(self.config))

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait for a text in the log."""

        def holds() -> bool:
            assert self.process.poll() is None, self.log
            return self.log.count(text) >= count

        try:
            wait_until(holds, text)
        except AssertionError as error:
            error.add_note(self.log)
            raise

    def notified(self) -> list[dict[str, str]]:
        """Return what the service manager has received."""
        while True:
            try:
                lines = self._manager.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self._notified
            self._notified.append(dict(line.split("=", 1) for line in lines))

    def hang_up(self) -> None:
        """Send SIGHUP."""
        self.process.send_signal(signal.SIGHUP)

    def reload(self) -> str:
        """Write the configuration, reload it, and return what was logged about it."""
        self.write()
        before = self.log.count("the configuration was ")
        self.hang_up()
        self.wait_for("the configuration was ", before + 1)
        wait_until(
            lambda: "\n" in self.log.rpartition("the configuration was ")[2], "the whole line"
        )
        return [line for line in self.log.splitlines() if "the configuration was " in line][-1]

    def read(self, page: str) -> tuple[int, str]:
        """Return status and text of a page of the HTTP endpoint."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{page}", timeout=60) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """Return the value of a series without labels."""
        lines = self.read("/metrics")[1].splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))

    def scores(self, machine: str) -> list[dict[str, Any]]:
        """Return the scores of a machine from all score files, oldest first."""
        files = sorted(self.scores_path.parent.glob("scores.jsonl*"), reverse=True)
        whole = [file.read_text().rpartition("\n")[0] for file in files]
        payloads = [json.loads(line) for text in whole for line in text.splitlines()]
        return [payload for payload in payloads if payload["machine"] == machine]

    def wait_for_scores(self, machine: str, more: int = 4) -> None:
        """Wait until a machine has this many further scores."""
        before = len(self.scores(machine))
        wait_until(lambda: len(self.scores(machine)) >= before + more, f"scores of {machine}")

    def assert_no_gap(self, machine: str) -> None:
        """Check that no window of a machine is missing, except those that came too late."""
        numbers = [score["window"] for score in self.scores(machine)]
        missing = set(range(numbers[-1])) - set(numbers)
        assert numbers == sorted(set(numbers))
        assert len(missing) <= self._count_late(machine), missing

    def _count_late(self, machine: str) -> float:
        """Return how many windows a busy computer could not score in time."""
        lines = [line for line in self.read("/metrics")[1].splitlines() if 'result="late"' in line]
        return sum(float(line.split()[-1]) for line in lines if f'machine="{machine}"' in line)
