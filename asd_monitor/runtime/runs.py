"""What ``run`` and ``learn`` do once their settings are known."""

import json
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from asd_monitor.config import Config
from asd_monitor.errors import SourceError, StateError
from asd_monitor.runtime.builder import MonitorHandle, build_monitor
from asd_monitor.runtime.pipeline import Pipeline
from asd_monitor.runtime.serve import serve
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.prometheus.sink import PrometheusSink
from asd_monitor.sources.wav import WavSource
from asd_monitor.telemetry.summary import summarise
from asd_monitor.terminal import logging_setup

if TYPE_CHECKING:
    from asd_monitor.terminal.live_view import LiveView

logger = logging.getLogger(__name__)

SWITCH_S = 0.001
"""A thread that computes in Python, as a scrape of many machines does, lets others in after so
long. Python's own 5 ms, whenever a model call returns meanwhile, add up to late windows."""


def run_monitor(
    config: Config,
    stop: threading.Event,
    *,
    duration_s: float | None,
    live_view: bool,
    as_json: bool,
) -> None:
    """Monitor until told to stop, the end of all recordings, or ``duration_s``.

    Parameters
    ----------
    config
        The settings.
    stop
        Ends the run when set.
    duration_s
        Longest time to run, in seconds; None for no limit.
    live_view
        Show a live view where stderr is a terminal; log lines else.
    as_json
        Print the summary as one JSON document on stdout when done.
    """
    sys.setswitchinterval(SWITCH_S)
    logging_setup.set_up()
    handle = build_monitor(config)
    if live_view:
        add_live_view(handle)
    started_at = time.time()
    serve(handle, stop, duration_s=duration_s)
    result = summarise(handle.status(), started_at, published_messages(handle))
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stderr.write("\n".join(summary_lines(result)) + "\n")
    refuse_unheard(handle)


def learn_only(
    config: Config, stop: threading.Event, *, fresh: bool, live_view: bool, as_json: bool
) -> None:
    """Learn every machine of the settings, write its model file, and stop.

    Parameters
    ----------
    config
        The settings.
    stop
        Ends the run when set; what was recorded is kept.
    fresh
        Set the recordings from before aside, so that only new ones are learned from.
    live_view
        Show a progress bar where stderr is a terminal; log lines else.
    as_json
        Print where the models are as one JSON document on stdout when done.
    """
    logging_setup.set_up()
    if fresh:
        folder = StateFolder.locate(config.state_dir, os.environ)
        for machine in config.machines:
            with folder.lock(machine):
                set_aside(folder, machine)
    handle = build_monitor(config, relearn=True)
    if live_view:
        add_live_view(handle)
    learning = handle.monitor.pipelines
    serve(handle, stop, is_done=lambda: all(each.commissioning is None for each in learning))
    learned = {each.machine: each.detector for each in learning if each.detector is not None}
    paths = {machine: str(handle.state.model_path(machine)) for machine in learned}
    unused_s = {each.machine: not_used_s(each) for each in learning if each.machine in learned}
    if as_json:
        sys.stdout.write(json.dumps({"models": paths, "unused_s": unused_s}) + "\n")
    else:
        for machine in config.machines:
            told = "stopped before a model could be fitted"
            if machine in learned:
                seconds = learned[machine].manifest.training["seconds"]
                told = f"model of {seconds:.0f} s of sound written to {paths[machine]}"
                if left_min := round(unused_s[machine] / 60, 1):
                    told += f"\n{machine}: {left_min:g} min of the recordings were not used; "
                    told += "use more of them with --minutes"
            sys.stderr.write(f"{machine}: {told}\n")
    refuse_unheard(handle)


def not_used_s(pipeline: Pipeline) -> float:
    """Return how much of a machine's recordings learning did not come to, in seconds."""
    source = pipeline.source
    return source.remaining_s(pipeline.learned_until) if isinstance(source, WavSource) else 0.0


def refuse_unheard(handle: MonitorHandle) -> None:
    """Raise SourceError for a machine none of whose recordings could be read."""
    for pipeline in handle.monitor.pipelines:
        health = pipeline.source.health()
        recorded = isinstance(pipeline.source, WavSource)
        if recorded and not health.samples and health.reason:
            raise SourceError(f"{pipeline.machine}: nothing was heard: {health.reason}")


def set_aside(folder: StateFolder, machine: str) -> None:
    """Move a machine's recordings out of the way; nothing is deleted.

    Raises
    ------
    StateError
        If they cannot be moved.
    """
    recordings = folder.recordings_path(machine).parent
    if not recordings.exists():
        return
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = folder.make(folder.root / "recordings-set-aside") / f"{machine}-{stamp}"
    try:
        recordings.rename(aside)
    except OSError as error:
        msg = f"{recordings}: the recordings cannot be set aside: {error.strerror}"
        raise StateError(msg) from error
    logger.info("%s: recordings from before were moved to %s", machine, aside)


def published_messages(handle: MonitorHandle) -> int:
    """Return how many MQTT messages the broker has taken."""
    return int(_value(handle, "asd_mqtt_messages_total", {"result": "published"}))


def _value(handle: MonitorHandle, series: str, labels: dict[str, str] | None = None) -> float:
    return handle.metrics.registry.get_sample_value(series, labels or {}) or 0.0


def summary_lines(result: dict[str, Any]) -> list[str]:
    """Return the summary for a person: one line a machine."""
    lines = []
    for name, machine in result["machines"].items():
        alarm = "no alarm"
        if machine["raised_at_s"] is not None:
            cleared = machine["cleared_at_s"]
            end = f"cleared at {cleared:.1f} s" if cleared is not None else "not cleared"
            alarm = f"alarm raised at {machine['raised_at_s']:.1f} s, {end}"
        lines.append(
            f"{name}: {machine['final_state']}; {alarm}; {machine['windows']} windows, "
            f"{machine['lost_samples']} lost samples"
        )
    lines.append(f"{result['mqtt_messages']} MQTT messages published")
    return lines


def where_published(handle: MonitorHandle) -> str:
    """Return where results go, and whether they arrive, in one line."""
    parts = []
    mqtt = handle.config.sink_settings(MqttSettings)
    if mqtt is not None:
        connected = _value(handle, "asd_mqtt_connected") == 1
        state = "connected" if connected else "not connected"
        parts.append(f"MQTT {mqtt.host}:{mqtt.port} {state}")
        parts.append(f"{published_messages(handle)} messages")
    parts += [
        f"metrics {each.url}" for each in handle.monitor.sinks if isinstance(each, PrometheusSink)
    ]
    return "  |  ".join(parts)


def add_live_view(handle: MonitorHandle, title: str = "asd-monitor") -> "LiveView | None":
    """Add a live view to the monitor and display warnings there, if the terminal allows it.

    A terminal that cannot move its cursor would display nothing before the end.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        return None
    from asd_monitor.terminal.live_view import LiveView

    view = LiveView(handle.status, title=title, footer=lambda: where_published(handle))
    logging_setup.set_up(show_message=view.show_message)
    handle.monitor.add_sink(view)
    return view
