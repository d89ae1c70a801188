"""Run the demo: a machine is learned, fails, is detected, and recovers.

Only the machine is simulated. Its sound takes the same path as a microphone's: commissioning,
model file, windows, detector, alarm, MQTT, Prometheus.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_monitor.demo.guide import Guide
from asd_monitor.demo.scenario import Scenario
from asd_monitor.demo.source import DemoSource
from asd_monitor.errors import StateError
from asd_monitor.terminal.wrapping import wrap

if TYPE_CHECKING:
    from asd_monitor.config import Config

MACHINE = "pump"
LEARN_S = 90.0
HOLD_S = 8.0


def run_demo(
    duration_s: float,
    stop: threading.Event,
    *,
    metrics_port: int,
    web_port: int = 0,
    keep: Path | None = None,
    stays_open: bool = False,
    live_view: bool,
    as_json: bool,
) -> None:
    """Learn the simulated machine, monitor it during a scenario, and print a summary.

    Parameters
    ----------
    duration_s
        Duration of the monitoring in seconds; the learning precedes it.
    stop
        Ends the demo when set.
    metrics_port
        Port of the Prometheus endpoint on loopback; 0 uses a free one.
    web_port
        Port of the web page on loopback; 0 uses a free one.
    keep
        Folder below which the state folder is kept; None: it is deleted at the end.
    stays_open
        Continue to monitor, with the page open, after the scenario has ended, until ``stop``.
    live_view
        Display a live view if stderr is a terminal; print log lines otherwise.
    as_json
        Print the summary as one JSON line on stdout.
    """
    from asd_monitor.demo.broker import EmbeddedBroker
    from asd_monitor.runtime import runs
    from asd_monitor.runtime.builder import build_monitor
    from asd_monitor.runtime.serve import serve
    from asd_monitor.telemetry.summary import summarise
    from asd_monitor.terminal import logging_setup

    source = DemoSource(MACHINE, Scenario.of_duration(duration_s), LEARN_S)
    with (
        _state_folder(keep) as folder,
        EmbeddedBroker() as broker,
    ):
        config = _make_config(folder, broker.port, metrics_port, web_port)
        logging_setup.set_up()
        handle = build_monitor(config, extra_sinks=[source], sources={MACHINE: source})
        title = "asd-monitor demo: a pump and its bearing"
        view = runs.add_live_view(handle, title) if live_view else None
        show = view.show_message if view else _print_line
        source.on_phase_change(show)
        if view is None:
            _print_line(f"an MQTT broker listens at {broker.host}:{broker.port}")
        page = runs.find_page(handle)
        guide = Guide(source, lambda: page.url if page else "", show, stays_open=stays_open)
        serve(handle, stop, is_done=guide.is_done)
        started_at = source.scenario_started_at or time.time()
        result = summarise(handle.status(), started_at, runs.count_published_messages(handle))
    _print_summary(result, as_json=as_json, kept=keep is not None)


def _print_summary(result: dict[str, Any], *, as_json: bool, kept: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        lines = "\n".join(_format_summary(result, kept=kept))
        sys.stderr.write(wrap(lines, sys.stderr) + "\n")


@contextmanager
def _state_folder(keep: Path | None) -> Iterator[Path]:
    """Return an empty state folder, deleted at the end unless it is to be kept."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="asd-monitor-demo-") as folder:
            yield Path(folder)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%dT%H%M%S-", time.localtime())
        folder = tempfile.mkdtemp(prefix=f"demo-{stamp}", dir=keep.absolute())
    except OSError as error:
        raise StateError(f"--keep {keep}: cannot be created: {error.strerror}") from error
    yield Path(folder)


def _make_config(folder: Path, mqtt_port: int, metrics_port: int, web_port: int) -> "Config":
    from asd_monitor.config import from_options

    return from_options(
        {
            "node": "demo",
            "state_dir": str(folder),
            "machines": {MACHINE: {"mic": "demo sound"}},
            "learn": {"minutes": LEARN_S / 60},
            "alarm": {"hold_s": HOLD_S},
            "mqtt": {"host": "127.0.0.1", "port": mqtt_port},
            "prometheus": {"port": metrics_port},
            "web": {"port": web_port},
        }
    )


def _print_line(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} DEMO {text}\n")


def _format_summary(result: dict[str, Any], *, kept: bool) -> list[str]:
    raised, cleared = result["raised_at_s"], result["cleared_at_s"]
    pump = result["machines"][MACHINE]
    lines = [
        "",
        "summary of the demo (times in seconds since monitoring began):",
        f"  alarm raised   {'never' if raised is None else f'{raised:.1f} s'}",
        f"  alarm cleared  {'never' if cleared is None else f'{cleared:.1f} s'}",
        f"  final state    {result['final_state']}",
        f"  windows        {result['windows']}",
        f"  lost samples   {result['lost_samples']}",
        f"  MQTT messages  {result['mqtt_messages']}",
        f"  sound          {pump['headline'] or 'no event'}",
    ]
    if kept and pump["clip"] is not None:
        lines.append(f"  clip           {pump['clip']}")
    return lines
