"""Run the real ``asd-monitor run`` as a separate process, and observe it from outside."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from asd_monitor.bench.process_usage import Usage
from asd_monitor.errors import AsdMonitorError

READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 20.0
SCRAPE_TIMEOUT_S = 20.0
MAX_DURATION_S = 3600
"""The daemon ends by itself after this time, in case the benchmark is killed."""


def find_free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Daemon:
    """``asd-monitor run --config``, ready once the block is entered.

    Parameters
    ----------
    settings
        Content of the configuration, without the state folder and the port of the metrics.
    folder
        Folder for its files.
    web
        Serve the web page.
    checkout
        A folder with another version of the program, which is run instead of this one; the page is
        served if that version has one.

    Attributes
    ----------
    ready_s
        From the start of the process to READY, in seconds.
    web_port
        Port of the web page on loopback, if it is served.

    Raises
    ------
    AsdMonitorError
        With the last lines of its log, if it ends before it is stopped.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        folder: Path,
        *,
        web: bool = False,
        checkout: Path | None = None,
    ) -> None:
        self.ready_s = 0.0
        self.web_port = find_free_port()
        self._port = find_free_port()
        self._folder = folder
        self._settings = {
            **settings,
            "state_dir": str(folder / "state"),
            "prometheus": {"port": self._port},
        }
        self._checkout = checkout
        if checkout is None or (checkout / "asd_monitor" / "web").exists():
            self._settings["web"] = {"port": self.web_port} if web else None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Daemon":
        config = self._folder / "monitor.yaml"
        config.write_text(json.dumps(self._settings))
        address = f"asd-monitor-bench-{os.getpid()}-{self._port}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
            notifications.bind(f"\0{address}")
            notifications.settimeout(0.2)
            options = ["--config", str(config), "--duration", str(MAX_DURATION_S)]
            started_s = time.monotonic()
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "asd_monitor.cli", "run", *options],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env={**self._environment(), "NOTIFY_SOCKET": f"@{address}"},
                    cwd=self._checkout,
                )
            try:
                self._await_ready(notifications, started_s)
            except BaseException:
                self._stop()
                raise
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def usage(self) -> Usage:
        """Return the resources of all its processes; raise if it has ended."""
        self._check_alive()
        return Usage.of(self._running.pid)

    def metrics(self) -> dict[str, float]:
        """Return its series summed over machines: by name, or by ``name{label=value}``."""
        from prometheus_client.parser import text_string_to_metric_families

        self._check_alive()
        url = f"http://127.0.0.1:{self._port}/metrics"
        with urllib.request.urlopen(url, timeout=SCRAPE_TIMEOUT_S) as page:
            text = page.read().decode()
        totals: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = {k: v for k, v in sample.labels.items() if k in ("result", "le")}
                label = "".join(f"{{{k}={v}}}" for k, v in labels.items())
                name = f"{sample.name}{label}"
                totals[name] = totals.get(name, 0.0) + sample.value
        return totals

    @property
    def _log(self) -> Path:
        return self._folder / "daemon.log"

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise ValueError("the daemon has not been started")
        return self._process

    def _environment(self) -> dict[str, str]:
        path = {} if self._checkout is None else {"PYTHONPATH": str(self._checkout)}
        return {**os.environ, **path}

    def _await_ready(self, notifications: socket.socket, started_s: float) -> None:
        while time.monotonic() - started_s < READY_TIMEOUT_S:
            self._check_alive()
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in notifications.recv(65536):
                    self.ready_s = time.monotonic() - started_s
                    return
        msg = f"asd-monitor run was not ready within {READY_TIMEOUT_S:.0f} s; {self._last_lines()}"
        raise AsdMonitorError(msg)

    def _check_alive(self) -> None:
        if self._running.poll() is not None:
            code = self._running.returncode
            msg = f"asd-monitor run ended with exit code {code}: {self._last_lines()}"
            raise AsdMonitorError(msg)

    def _last_lines(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:]) or "its log is empty"

    def _stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
