"""Every Prometheus series of the monitor, named in one place.

Labels are kept few (``machine``, and a small fixed set of reasons), so that the number of
series grows only with the number of machines. All label sets of a machine are created when
it is added, so every series exists at 0 before anything has happened.
"""

import platform
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from asd_monitor import __version__
from asd_monitor.records import ModelInfo, Quality, Score, SourceHealth, SourceState, State

WINDOW_RESULTS = ("scored", *(str(quality) for quality in Quality if quality is not Quality.OK))
QUEUES = ("mqtt_scores", "mqtt_events", "history")
MQTT_RESULTS = ("published", "dropped")

INFERENCE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The monitor's series on a registry of the caller's.

    Parameters
    ----------
    registry
        Where the series are registered; each monitor and each test has its own.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        on_machine = {"labelnames": ("machine",), "registry": registry}
        self.score = Gauge(
            "asd_anomaly_score",
            "Anomaly score of the newest window; higher = more anomalous.",
            **on_machine,
        )
        self.threshold = Gauge(
            "asd_score_threshold", "A score above this counts towards an alarm.", **on_machine
        )
        self.p_value = Gauge(
            "asd_p_value",
            "How often normal sound scores as high as the newest window.",
            **on_machine,
        )
        self.alarm_state = Gauge(
            "asd_alarm_state", "1 while the machine is in ALARM, else 0.", **on_machine
        )
        self.state = Gauge(
            "asd_state",
            "1 for the machine's present state, 0 for the others.",
            ("machine", "state"),
            registry=registry,
        )
        self.alarms = Counter("asd_alarms_total", "Alarms raised.", **on_machine)
        self.provisional = Gauge(
            "asd_threshold_provisional",
            "1 while few calibration windows stand behind the threshold.",
            **on_machine,
        )
        self.windows = Counter(
            "asd_windows_total",
            "Windows by what became of them.",
            ("machine", "result"),
            registry=registry,
        )
        self.inference = Histogram(
            "asd_inference_duration_seconds",
            "Model time of a window.",
            buckets=INFERENCE_BUCKETS_S,
            **on_machine,
        )
        self.latency = Histogram(
            "asd_window_latency_seconds",
            "From a window's last sample to its score being handed out.",
            buckets=LATENCY_BUCKETS_S,
            **on_machine,
        )
        self.audio_frames = Counter(
            "asd_audio_frames_total", "Audio samples received, at the model's rate.", **on_machine
        )
        self.lost_frames = Counter(
            "asd_audio_lost_frames_total",
            "Audio samples lost, computed from the clock.",
            **on_machine,
        )
        self.overflows = Counter(
            "asd_audio_overflows_total", "Overflow flags raised by the audio driver.", **on_machine
        )
        self.source_up = Gauge(
            "asd_source_up",
            "1 while audio arrives from the machine's source, else 0.",
            **on_machine,
        )
        self.source_state = Gauge(
            "asd_source_state",
            "1 for the source's present state, 0 for the others.",
            ("machine", "state"),
            registry=registry,
        )
        self.source_restarts = Counter(
            "asd_source_restarts_total", "Times the source was opened again.", **on_machine
        )
        self.last_audio = Gauge(
            "asd_last_audio_timestamp_seconds", "When the newest audio was captured.", **on_machine
        )
        self.last_window = Gauge(
            "asd_last_window_timestamp_seconds",
            "When the newest window's last sample was captured.",
            **on_machine,
        )
        self.level = Gauge(
            "asd_audio_level_dbfs",
            "RMS level of the newest window, dB relative to full scale.",
            **on_machine,
        )
        self.learned = Gauge(
            "asd_learned_seconds", "Normal sound collected by commissioning.", **on_machine
        )
        self.model_info = Gauge(
            "asd_model_info",
            "1, with the model in use as labels.",
            ("machine", "name", "revision", "sha256"),
            registry=registry,
        )
        self.queue_depth = Gauge(
            "asd_queue_depth", "Records waiting to be handed over.", ("queue",), registry=registry
        )
        self.dropped = Counter(
            "asd_dropped_total",
            "Records given up because a queue was full or its far end away.",
            ("queue",),
            registry=registry,
        )
        self.mqtt_connected = Gauge(
            "asd_mqtt_connected", "1 while connected to the MQTT broker, else 0.", registry=registry
        )
        self.mqtt_messages = Counter(
            "asd_mqtt_messages_total",
            "MQTT messages by what became of them.",
            ("result",),
            registry=registry,
        )
        self.mqtt_reconnects = Counter(
            "asd_mqtt_reconnects_total",
            "Times the MQTT connection was made again.",
            registry=registry,
        )
        self.sink_errors = Counter(
            "asd_sink_errors_total",
            "Unexpected errors inside a sink.",
            ("sink",),
            registry=registry,
        )
        self.build_info = Gauge(
            "asd_build_info",
            "1, with the program's version as label.",
            ("version", "python"),
            registry=registry,
        )
        self.build_info.labels(__version__, platform.python_version()).set(1)
        for result in MQTT_RESULTS:
            self.mqtt_messages.labels(result)
        for queue in QUEUES:
            self.queue_depth.labels(queue)
            self.dropped.labels(queue)
        self._source_counts: dict[str, SourceHealth] = {}
        self._models: dict[str, ModelInfo] = {}

    def add_machines(self, machines: Iterable[str]) -> None:
        """Create every series of these machines, so that all of them exist at 0."""
        for machine in machines:
            for series in (
                self.alarm_state,
                self.alarms,
                self.inference,
                self.latency,
                self.audio_frames,
                self.lost_frames,
                self.overflows,
                self.source_up,
                self.source_restarts,
                self.provisional,
                self.learned,
            ):
                series.labels(machine)
            for result in WINDOW_RESULTS:
                self.windows.labels(machine, result)
            for source_state in SourceState:
                self.source_state.labels(machine, str(source_state))
            self.observe_state(machine, State.UNKNOWN)

    def observe_score(self, score: Score) -> None:
        """Take one window into account."""
        machine = score.machine
        result = "scored" if score.quality is Quality.OK else str(score.quality)
        self.windows.labels(machine, result).inc()
        self.last_window.labels(machine).set(score.captured_at)
        if score.level_dbfs is not None:
            self.level.labels(machine).set(score.level_dbfs)
        if score.value is not None:
            self.score.labels(machine).set(score.value)
            self.inference.labels(machine).observe(score.inference_s)
        if score.p_value is not None:
            self.p_value.labels(machine).set(score.p_value)
        if score.threshold is not None:
            self.threshold.labels(machine).set(score.threshold)
        if score.model is not None and score.model != self._models.get(machine):
            self._observe_model(machine, score.model)

    def _observe_model(self, machine: str, model: ModelInfo) -> None:
        old = self._models.get(machine)
        if old is not None:
            self.model_info.remove(machine, old.name, old.revision, old.sha256)
        self._models[machine] = model
        self.model_info.labels(machine, model.name, model.revision, model.sha256).set(1)
        self.provisional.labels(machine).set(model.provisional)

    def observe_state(self, machine: str, state: State) -> None:
        """Note a machine's present state."""
        for each in State:
            self.state.labels(machine, str(each)).set(each is state)
        self.alarm_state.labels(machine).set(state is State.ALARM)

    def observe_health(self, health: SourceHealth) -> None:
        """Note a source's health; its running totals become counter increments."""
        machine, before = health.machine, self._source_counts.get(health.machine)
        self._source_counts[machine] = health
        for counter, now, then in (
            (self.audio_frames, health.samples, before.samples if before else 0),
            (self.lost_frames, health.lost_samples, before.lost_samples if before else 0),
            (self.overflows, health.overflows, before.overflows if before else 0),
            (self.source_restarts, health.reopens, before.reopens if before else 0),
        ):
            if now > then:
                counter.labels(machine).inc(now - then)
        self.source_up.labels(machine).set(health.state is SourceState.RUNNING)
        for each in SourceState:
            self.source_state.labels(machine, str(each)).set(each is health.state)
        if health.last_audio_at is not None:
            self.last_audio.labels(machine).set(health.last_audio_at)
