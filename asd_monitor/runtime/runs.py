"""Run the monitor, or only learn, and report the result: the commands ``run`` and ``learn``."""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_monitor.config import Config
from asd_monitor.detectability.sentences import describe
from asd_monitor.detection.support import describe_next_hour
from asd_monitor.errors import ConfigError, SourceError, StateError
from asd_monitor.model_file.runtimes import is_installed
from asd_monitor.processes.memory import use_one_heap
from asd_monitor.runtime.builder import MonitorHandle, build_monitor
from asd_monitor.runtime.detectability import measure_learned
from asd_monitor.runtime.page_settings import PageSettings
from asd_monitor.runtime.pipeline import Pipeline
from asd_monitor.runtime.reload import Reloader
from asd_monitor.runtime.serve import serve
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.prometheus.sink import PrometheusSink
from asd_monitor.sources.rate_conversion import original
from asd_monitor.sources.wav import WavSource
from asd_monitor.telemetry.summary import summarise
from asd_monitor.terminal import logging_setup
from asd_monitor.terminal.wrapping import wrap
from asd_monitor.web.diagnosis import Diagnosis

if TYPE_CHECKING:
    from asd_monitor.terminal.live_view import LiveView
    from asd_monitor.web.service import WebService

logger = logging.getLogger(__name__)

THREAD_SWITCH_INTERVAL_S = 0.001
"""How long a thread that runs Python code, such as a scrape of many machines, may keep the others
waiting. With Python's default of 5 ms, at each return of a model call, windows become late."""


@dataclass(frozen=True, slots=True)
class Reloading:
    """How the configuration of a run is reloaded."""

    requested: threading.Event
    """Set to request it."""
    load: Callable[[], Config]
    """Return the settings as the configuration has them now."""
    accept: Callable[[Config], None]
    """Called with them once they are in use."""


def run_monitor(
    config: Config,
    stop: threading.Event,
    *,
    duration_s: float | None,
    live_view: bool,
    as_json: bool,
    page_settings: PageSettings | None = None,
    diagnosis: Diagnosis | None = None,
    reloading: Reloading | None = None,
) -> None:
    """Monitor until stopped, until all recordings have been played, or for ``duration_s``.

    Parameters
    ----------
    config
        The settings.
    stop
        Ends the run when set.
    duration_s
        Longest time to run, in seconds; None for no limit.
    live_view
        Display a live view if stderr is a terminal; otherwise log lines.
    as_json
        Print the summary as one JSON document on stdout when done.
    page_settings
        The settings made on the web page, which may then change them.
    diagnosis
        Checks the installation for the web page.
    reloading
        How the configuration is reloaded; None: it is not.
    """
    sys.setswitchinterval(THREAD_SWITCH_INTERVAL_S)
    use_one_heap()
    logging_setup.name_machines(lambda: config.machines)
    logging_setup.set_up()
    handle = build_monitor(config, page_settings=page_settings, diagnosis=diagnosis)
    logging_setup.name_machines(lambda: handle.machines.names)
    if live_view and config.machines:
        add_live_view(handle)
    reloader = None
    if reloading is not None:
        reloader = Reloader(handle, reloading.load, reloading.accept, reloading.requested)
    started_at = time.time()
    with explain_missing_audio(handle):
        serve(handle, stop, duration_s=duration_s, reloader=reloader)
    result = summarise(handle.status(), started_at, count_published_messages(handle))
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stderr.write(wrap("\n".join(format_summary(result)), sys.stderr) + "\n")
    raise_if_no_audio(handle)
    if duration_s and not stop.is_set():
        _raise_if_never_audio(handle, duration_s)


def find_read_files(config: Config) -> list[Path]:
    """Return the model files that a start with these settings reads, existing or not."""
    state = StateFolder.locate(config.state_dir, os.environ)
    return [machine.model or state.model_path(name) for name, machine in config.machines.items()]


def learn_only(
    config: Config, stop: threading.Event, *, fresh: bool, live_view: bool, as_json: bool
) -> bool:
    """Learn every machine of the settings, write its model file, and stop.

    Returns False if it was stopped before every machine had a model.

    Parameters
    ----------
    config
        The settings.
    stop
        Ends the run when set; recorded sound is kept.
    fresh
        Archive existing recordings, so that only new ones are learned from.
    live_view
        Display progress bars if stderr is a terminal; otherwise log lines.
    as_json
        Print the paths of the models as one JSON document on stdout when done.
    """
    logging_setup.set_up()
    if fresh:
        state = StateFolder.locate(config.state_dir, os.environ)
        for machine in config.machines:
            with state.lock(machine):
                archive_recordings(state, machine)
    handle = build_monitor(config, relearn=True)
    if live_view:
        add_live_view(handle)
    pipelines = handle.monitor.pipelines
    with explain_missing_audio(handle):
        serve(handle, stop, is_done=lambda: all(each.commissioning is None for each in pipelines))
    learned = {
        pipeline.machine: pipeline for pipeline in pipelines if pipeline.detector is not None
    }
    paths = {machine: str(handle.state.model_path(machine)) for machine in learned}
    unused_s = {machine: unused_recording_s(pipeline) for machine, pipeline in learned.items()}
    measured = {}
    if len(learned) == len(pipelines) and is_installed("torchscript"):
        stop.clear()  # the end of the sources has set it; now it ends the measurement
        measured = measure_learned(config, handle.state, learned, stop, quiet=as_json)
    if as_json:
        findings = {machine: find_findings(pipeline) for machine, pipeline in learned.items()}
        document = {"models": paths, "unused_s": unused_s, "findings": findings}
        document["detectability"] = {name: found.to_dict() for name, found in measured.items()}
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        for pipeline in pipelines:
            text = format_learning_result(pipeline, handle.state, config)
            if pipeline.machine in measured:
                text += f"\n  {describe(measured[pipeline.machine])}"
            sys.stderr.write(wrap(f"{pipeline.machine}: {text}\n", sys.stderr))
    raise_if_no_audio(handle)
    for machine, pipeline in learned.items():
        if pipeline.model_problem:  # it was fitted, and the disk is full
            raise StateError(f"{machine}: {pipeline.model_problem}")
    return len(learned) == len(pipelines)


def format_learning_result(pipeline: Pipeline, state: StateFolder, config: Config) -> str:
    """Return what was learned of a machine, for the user."""
    machine = pipeline.machine
    if pipeline.detector is None:
        return "stopped before a model could be fitted"
    if pipeline.model_problem:
        return "the model could not be saved"
    seconds = pipeline.detector.manifest.training["seconds"]
    text = f"model of {seconds:.0f} s of sound written to {state.model_path(machine)}"
    if unused_min := round(unused_recording_s(pipeline) / 60, 1):
        text += (
            f"\n{machine}: {unused_min:g} min of the recordings were not used; "
            "use more of them with --minutes"
        )
    acceptable = config.alarm_of(machine).false_alarms_per_month
    rule = pipeline.detector.rule(machine)
    support = rule.describe_support(acceptable), describe_next_hour(rule, acceptable)
    findings = [*filter(None, support), *find_findings(pipeline)]
    return "\n".join((text, *(f"  {finding}" for finding in findings)))


def find_findings(pipeline: Pipeline) -> list[str]:
    """Return what limits the model of a machine, as found in the sound that it was learned from."""
    from asd_monitor.quickstart.recording_check import findings_of

    return [] if pipeline.detector is None else findings_of(pipeline.detector.manifest)


def unused_recording_s(pipeline: Pipeline) -> float:
    """Return the length of a machine's recordings that were not learned from, in seconds."""
    source = original(pipeline.source)
    return source.remaining_s(pipeline.learned_until) if isinstance(source, WavSource) else 0.0


@contextmanager
def explain_missing_audio(handle: MonitorHandle) -> Iterator[None]:
    """Raise SourceError instead of "too little sound" where no recording could be read."""
    try:
        yield
    except ConfigError:
        raise_if_no_audio(handle)
        raise


def raise_if_no_audio(handle: MonitorHandle) -> None:
    """Raise SourceError for a machine none of whose recordings could be read."""
    for pipeline in handle.monitor.pipelines:
        health = pipeline.source.health()
        if (
            isinstance(original(pipeline.source), WavSource)
            and not health.samples
            and health.reason
        ):
            raise SourceError(f"{pipeline.machine}: no audio was received: {health.reason}")


def _raise_if_never_audio(handle: MonitorHandle, duration_s: float) -> None:
    """Raise SourceError for machines that had no sound during the whole run."""
    pipelines = handle.monitor.pipelines
    silent = [each.machine for each in pipelines if not each.source.health().samples]
    if silent:
        msg = (
            f"{', '.join(silent)}: no audio was received in {duration_s:g} s; "
            "`asd-monitor doctor` examines the microphones"
        )
        raise SourceError(msg)


def archive_recordings(state: StateFolder, machine: str) -> None:
    """Move a machine's recordings to the archive in the state folder; nothing is deleted.

    Raises
    ------
    StateError
        If they cannot be moved.
    """
    recordings = state.recordings_path(machine).parent
    if not recordings.exists():
        return
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    archive = state.make(state.root / "archived-recordings") / f"{machine}-{stamp}"
    try:
        recordings.rename(archive)
    except OSError as error:
        msg = f"{recordings}: the recordings cannot be archived: {error.strerror}"
        raise StateError(msg) from error
    logger.info("%s: existing recordings were moved to %s", machine, archive)


def count_published_messages(handle: MonitorHandle) -> int | None:
    """Return the number of MQTT messages that the broker has received; None if MQTT is off."""
    if handle.config.sink_settings(MqttSettings) is None:
        return None
    return int(_read_value(handle, "asd_mqtt_messages_total", {"result": "published"}))


def _read_value(handle: MonitorHandle, series: str, labels: dict[str, str] | None = None) -> float:
    return handle.metrics.registry.get_sample_value(series, labels or {}) or 0.0


def format_summary(result: dict[str, Any]) -> list[str]:
    """Return the summary for the user: one line per machine."""
    lines = []
    for name, machine in result["machines"].items():
        lines.append(
            f"{name}: {machine['final_state']}; {machine['windows']} windows, "
            f"{machine['lost_samples']} lost samples"
        )
        lines += [f"  {text}" for text in _format_reports(machine)]
    if result["mqtt_messages"] is not None:
        lines.append(f"{result['mqtt_messages']} MQTT messages published")
    return lines


def _format_reports(machine: dict[str, Any]) -> list[str]:
    """Return the warnings and alarms of a machine, a line each, with their reasons."""
    lines = []
    if machine["warnings"]:
        count = "1 warning" if machine["warnings"] == 1 else f"{machine['warnings']} warnings"
        lines.append(f"{count}, {machine['warning_s']:.0f} s: {machine['warning_reason']}")
    if machine["raised_at_s"] is None:
        lines.append("no alarm")
    else:
        cleared, raised_at_s = machine["cleared_at_s"], machine["raised_at_s"]
        end = f"cleared after {cleared:.0f} s" if cleared is not None else "not cleared"
        start = "before the start" if raised_at_s < 0 else f"after {raised_at_s:.0f} s"
        lines.append(f"alarm raised {start}, {end}: {machine['alarm_reason']}")
    if machine["headline"] is not None:
        lines.append(f"sound: {machine['headline']}")
    if machine["clip"] is not None:
        lines.append(f"clip: {machine['clip']}")
    return lines


def describe_destinations(handle: MonitorHandle) -> str:
    """Return where results are shown and published, in one line."""
    parts = []
    page = find_page(handle)
    if page is not None and page.is_open:
        parts.append(f"page {page.url}")
    mqtt = handle.config.sink_settings(MqttSettings)
    if mqtt is not None:
        connected = _read_value(handle, "asd_mqtt_connected") == 1
        state = "connected" if connected else "not connected"
        messages = count_published_messages(handle)
        parts.append(f"MQTT {mqtt.host}:{mqtt.port} {state}, {messages} messages")
    servers = [sink for sink in handle.monitor.sinks if isinstance(sink, PrometheusSink)]
    parts += [
        f"metrics {server.url}" for server in servers if server.port
    ]  # 0: a free one, not open any more
    return "  |  ".join(parts)


def find_page(handle: MonitorHandle) -> "WebService | None":
    """Return the web page of a monitor; None if it is off."""
    if handle.config.web is None:
        return None
    from asd_monitor.web.service import WebService

    return next((sink for sink in handle.monitor.sinks if isinstance(sink, WebService)), None)


def add_live_view(handle: MonitorHandle, title: str = "asd-monitor") -> "LiveView | None":
    """Add a live view to the monitor and display warnings there, if the terminal allows it.

    A terminal that cannot move its cursor would display nothing before the end.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        return None
    from asd_monitor.terminal.live_view import LiveView

    shown = ""

    def describe() -> str:
        nonlocal shown
        if not handle.monitor.is_stopping:  # afterwards no broker is connected, which is no fault
            shown = describe_destinations(handle)
        return shown

    view = LiveView(handle.status, title=title, footer=describe)
    logging_setup.set_up(show_message=view.show_message)
    handle.monitor.add_sink(view)
    return view
