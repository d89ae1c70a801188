"""A monitor's MQTT sink and outbox in a process of their own, which can be killed."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.rig.paths import ROOT

CODE = """
import json, sys, time
from pathlib import Path
from prometheus_client import CollectorRegistry
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sink import MqttSink
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.records import event, scored_window
path, settings, rate = Path(sys.argv[1]), json.loads(sys.argv[2]), float(sys.argv[3])
sink = MqttSink(
    MqttSettings(**settings), Metrics(CollectorRegistry()), node="plant", outbox_path=path
)
sink.open()
print("ready", flush=True)
number = 0
try:
    while True:
        sink.emit(scored_window(number, "pump" if number % 2 else "fan"))
        if number % 25 == 24:
            sink.emit(event(f"{time.time()}-{number}"))
        number += 1
        time.sleep(1 / rate)
except KeyboardInterrupt:
    sink.close()
"""


class SinkProcess:
    """A process that emits scores, and some events, until it is killed or stopped.

    Parameters
    ----------
    outbox
        Its database.
    settings
        Of MQTT.
    rate_hz
        Scores per second.
    """

    def __init__(self, outbox: Path, settings: dict[str, Any], rate_hz: float = 200.0) -> None:
        import json

        self._process = subprocess.Popen(
            [sys.executable, "-c", CODE, str(outbox), json.dumps(settings), str(rate_hz)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and return the exit code."""
        self._process.send_signal(number)
        code = self._process.wait(400)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


@contextmanager
def running_sink(outbox: Path, settings: dict[str, Any]) -> Iterator[SinkProcess]:
    """Run a sink; it is killed at the end, unless it has ended."""
    process = SinkProcess(outbox, settings)
    try:
        yield process
    finally:
        process.end(signal.SIGKILL)


def read_keys(outbox: Path, where: str = "1") -> set[tuple[int, int]]:
    """Return epoch and seq of the messages in an outbox, sent or not."""
    with closing(sqlite3.connect(outbox)) as connection:
        sql = f"SELECT epoch, id - epoch * 1048576 FROM message WHERE {where}"  # noqa: S608
        return set(map(tuple, connection.execute(sql)))


def is_intact(outbox: Path) -> bool:
    """Return whether SQLite finds no damage."""
    with closing(sqlite3.connect(outbox)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
