"""A real Prometheus and promtool, from the Debian package `prometheus`."""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.rig.ports import free_port

SCRAPE_INTERVAL_S = 0.4


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str
    target: str
    """What it scrapes, as ``host:port``; the label ``instance`` of all series."""

    def _get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}{path}?{query}", timeout=60) as answer:  # noqa: S310
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the instant vector of an expression; raise HTTPError if it is invalid."""
        series: list[dict[str, Any]] = self._get("/api/v1/query", query=expression)["result"]
        return series

    def value(self, expression: str) -> float:
        """Return the value of an expression that has a single one."""
        (sample,) = self.query(expression)
        return float(sample["value"][1])

    def label_values(self, label: str, selector: str) -> list[str]:
        """Return what Grafana's ``label_values(selector, label)`` returns."""
        values: list[str] = self._get(f"/api/v1/label/{label}/values", **{"match[]": selector})
        return values

    def wait_for(self, expression: str, timeout_s: float = 240) -> list[dict[str, Any]]:
        """Return the result of an expression as soon as it is not empty."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            if series := self.query(expression):
                return series
            time.sleep(SCRAPE_INTERVAL_S)
        msg = f"Prometheus had no result of {expression!r} within {timeout_s} s"
        raise TimeoutError(msg)


@contextmanager
def running_prometheus(
    folder: Path,
    target: str,
    *,
    rules: Path | None = None,
    external: Mapping[str, str] | None = None,
    receives: bool = False,
    **sections: object,
) -> Iterator[Prometheus]:
    """Run Prometheus on a free loopback port, scraping ``target`` (``host:port``) often.

    It has external labels, accepts remote writes, or has more sections, if these are given.
    """
    interval = f"{int(SCRAPE_INTERVAL_S * 1000)}ms"
    intervals = ("scrape_interval", "scrape_timeout", "evaluation_interval")
    config: dict[str, Any] = {
        "global": dict.fromkeys(intervals, interval),
        "scrape_configs": [{"job_name": "asd-monitor", "static_configs": [{"targets": [target]}]}],
    }
    config |= sections
    if external is not None:
        config["global"]["external_labels"] = dict(external)
    if rules is not None:
        config["rule_files"] = [str(rules)]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
                "--log.level=warn",
                *(["--web.enable-remote-write-receiver"] if receives else []),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        server = Prometheus(f"http://{address}", target)
        _wait_until_ready(server, process, folder / "prometheus.log")
        yield server
    finally:
        process.terminate()
        process.wait(timeout=400)


def _wait_until_ready(
    server: Prometheus, process: subprocess.Popen[bytes], log: Path, timeout_s: float = 120
) -> None:
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/-/ready", timeout=20):  # noqa: S310
                return
        except OSError:
            time.sleep(0.1)
    msg = f"Prometheus did not get ready:\n{log.read_text()}"
    raise RuntimeError(msg)


def promtool(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run promtool; ``stdout`` of the result contains stderr as well."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=400,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode())
