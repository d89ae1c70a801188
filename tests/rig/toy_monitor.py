"""The whole program with a small model, which scores recordings as fast as it can."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import soundfile
import yaml

from tests.rig import toy_model
from tests.rig.mosquitto import wait_until
from tests.rig.ports import free_port

COMMAND = [sys.executable, "-m", "asd_monitor.cli"]
START_TIMEOUT_S = 240.0


class ToyMonitor:
    """A running ``asd-monitor run`` for the machine ``pump``.

    Parameters
    ----------
    folder
        For its configuration, its state (``state``) and its log (``log``).
    source
        Source of the machine's sound, as in the configuration; by default recordings that are
        read again and again, some 1000 windows per second.
    environment
        Of the process; by default that of the test.
    sections
        More of the configuration.
    """

    def __init__(
        self,
        folder: Path,
        source: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        **sections: Any,  # noqa: ANN401 - any section
    ) -> None:
        self.state, self.log = folder / "state", folder / "log"
        self.metrics_port = free_port()
        model = toy_model.save_toy(folder / "toy.asd")
        machine = {**(source or _fast_recordings(folder)), "model": str(model), "target": "pump"}
        config = {
            "node": "plant",
            "state_dir": str(self.state),
            "machines": {"pump": machine},
            "prometheus": {"port": self.metrics_port},
            "web": None,
            **sections,
        }
        path = folder / "monitor.yaml"
        path.write_text(yaml.safe_dump(config))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "run", "--config", str(path), "--json"],
                env=None if environment is None else dict(environment),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over the series with these labels."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        total = 0.0
        for line in lines:
            series, _, value = line.rpartition(" ")
            matches = all(f'{key}="{label}"' in series for key, label in labels.items())
            if series.partition("{")[0] == name and matches:
                total += float(value)
        return total

    def windows(self, result: str = "scored") -> int:
        """Return the number of windows so far."""
        return int(self.value("asd_windows_total", result=result))

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float = 240.0) -> None:
        """Wait until a condition holds; an error shows the log."""

        def holds() -> bool:
            assert self.process.poll() is None, f"it exited with {self.process.returncode}"
            try:
                return condition()
            except OSError:  # the metrics are not served yet
                return False

        try:
            wait_until(holds, what, timeout_s)
        except AssertionError as error:
            error.add_note(self.log.read_text())
            raise

    def usage(self) -> tuple[float, int, int]:
        """Return resident memory in MB, threads and open files."""
        process = psutil.Process(self.process.pid)
        with process.oneshot():
            return process.memory_info().rss / 1e6, process.num_threads(), process.num_fds()

    def stop(self) -> dict[str, Any]:
        """Stop it by SIGTERM, and return its summary."""
        self.process.send_signal(signal.SIGTERM)
        stdout, _ = self.process.communicate(timeout=240)
        assert self.process.returncode == 0, self.log.read_text()
        summary: dict[str, Any] = json.loads(stdout)
        return summary


def _fast_recordings(folder: Path) -> dict[str, Any]:
    path = folder / "recordings"
    path.mkdir()
    sound = toy_model.noise(3000).reshape(-1)
    soundfile.write(path / "normal.wav", sound, toy_model.RATE_HZ, subtype="PCM_24")
    return {"wav": {"paths": [str(path)], "paced": False, "loop": True}}


@contextmanager
def running_toy(
    folder: Path,
    source: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    **sections: Any,  # noqa: ANN401 - any section
) -> Iterator[ToyMonitor]:
    """Run the program until the block ends; wait until it scores."""
    monitor = ToyMonitor(folder, source, environment, **sections)
    try:
        monitor.wait_for(lambda: monitor.windows() > 0, "the first scores", START_TIMEOUT_S)
        yield monitor
    finally:
        monitor.process.kill()
        monitor.process.communicate()
