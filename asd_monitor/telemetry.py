"""Every Prometheus series of the monitor, named in one place.

Labels are kept few (``machine``, and a small fixed set of states or reasons), so that the
number of series grows only with the number of machines. All series of a machine are created
when it is added: counters and states begin at 0, measurements that do not exist yet are NaN,
which every comparison in an alert rule takes as false and every graph as a gap.
"""

import platform
from collections.abc import Iterable
from math import nan

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from asd_monitor import __version__
from asd_monitor.records import (
    LearningProgress,
    ModelInfo,
    Quality,
    ScoredWindow,
    SourceHealth,
    SourceState,
    State,
    Transition,
)

WINDOW_RESULTS = (
    "scored",
    "late",
    *(str(quality) for quality in Quality if quality is not Quality.OK),
)
QUEUES = ("mqtt_scores", "mqtt_events", "score_file")
MQTT_RESULTS = ("published", "dropped")
MQTT_FAILURES = ("settings", "dns", "unreachable", "tls", "login", "lost", "timeout")

INFERENCE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _WindowSeries:
    """What every window of a machine sets, looked up once."""

    def __init__(self, metrics: "Metrics", machine: str) -> None:
        self.score = metrics.score.labels(machine)
        self.threshold = metrics.threshold.labels(machine)
        self.p_value = metrics.p_value.labels(machine)
        self.shift = metrics.shift.labels(machine)
        self.level = metrics.level.labels(machine)
        self.last_window = metrics.last_window.labels(machine)
        self.inference = metrics.inference.labels(machine)
        self.latency = metrics.latency.labels(machine)


class Metrics:
    """The monitor's series on a registry of the caller's.

    Parameters
    ----------
    registry
        Where the series are registered; each monitor and each test has its own.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._define_scores()
        self._define_windows()
        self._define_source()
        self._define_model()
        self._define_delivery()
        self._source_counts: dict[str, SourceHealth] = {}
        self._models: dict[str, ModelInfo] = {}
        self._of_windows: dict[str, _WindowSeries] = {}

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, labels, registry=self.registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)

    def _define_scores(self) -> None:
        self.score = self._gauge(
            "asd_anomaly_score",
            "Anomaly score of the newest window; higher = more anomalous; "
            "NaN while the newest window has none.",
            "machine",
        )
        self.threshold = self._gauge(
            "asd_score_threshold", "A score above this counts towards an alarm.", "machine"
        )
        self.p_value = self._gauge(
            "asd_p_value",
            "How often normal sound scores as high as the newest window; NaN without a score.",
            "machine",
        )
        self.shift = self._gauge(
            "asd_shift_seconds",
            "For how long the score has been above what was usual while learning.",
            "machine",
        )
        self.alarm_state = self._gauge(
            "asd_alarm_state", "1 while the machine is in ALARM, else 0.", "machine"
        )
        self.state = self._gauge(
            "asd_state", "1 for the machine's present state, 0 for the others.", "machine", "state"
        )
        self.alarms = self._counter("asd_alarms_total", "Alarms raised.", "machine")
        self.learned = self._gauge(
            "asd_learned_seconds", "Normal sound collected by commissioning.", "machine"
        )
        self.learning_target = self._gauge(
            "asd_learning_target_seconds", "Normal sound that commissioning asks for.", "machine"
        )

    def _define_windows(self) -> None:
        self.windows = self._counter(
            "asd_windows_total", "Windows by what became of them.", "machine", "result"
        )
        self.inference = Histogram(
            "asd_inference_duration_seconds",
            "Model time of a window: its batch's time divided by the batch's size.",
            ("machine",),
            buckets=INFERENCE_BUCKETS_S,
            registry=self.registry,
        )
        self.latency = Histogram(
            "asd_window_latency_seconds",
            "From the capture of a window's last sample to its score being handed out.",
            ("machine",),
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.last_window = self._gauge(
            "asd_last_window_timestamp_seconds",
            "When the newest window's last sample was captured; NaN before the first.",
            "machine",
        )
        self.level = self._gauge(
            "asd_audio_level_dbfs",
            "RMS level of the newest window, dB relative to full scale; NaN in digital silence.",
            "machine",
        )

    def _define_source(self) -> None:
        self.audio_frames = self._counter(
            "asd_audio_frames_total", "Audio samples received, at the model's rate.", "machine"
        )
        self.lost_frames = self._counter(
            "asd_audio_lost_frames_total",
            "Audio samples lost, computed from the clock, at the model's rate.",
            "machine",
        )
        self.overflows = self._counter(
            "asd_audio_overflows_total", "Overflow flags raised by the audio driver.", "machine"
        )
        self.measured_rate = self._gauge(
            "asd_audio_measured_rate_hertz",
            "Device rate measured against the clock; NaN before it is known.",
            "machine",
        )
        self.source_up = self._gauge(
            "asd_source_up", "1 while audio arrives from the machine's source, else 0.", "machine"
        )
        self.source_state = self._gauge(
            "asd_source_state",
            "1 for the source's present state, 0 for the others.",
            "machine",
            "state",
        )
        self.source_restarts = self._counter(
            "asd_source_restarts_total", "Times the source was opened again.", "machine"
        )
        self.last_audio = self._gauge(
            "asd_last_audio_timestamp_seconds",
            "When the newest audio was captured; NaN before the first.",
            "machine",
        )

    def _define_model(self) -> None:
        self.provisional = self._gauge(
            "asd_threshold_provisional",
            "1 while few calibration windows stand behind the threshold, else 0.",
            "machine",
        )
        self.calibration_windows = self._gauge(
            "asd_calibration_windows", "Windows that stand behind the threshold.", "machine"
        )
        self.model_info = self._gauge(
            "asd_model_info",
            "1, with the model in use as labels.",
            "machine",
            "name",
            "revision",
            "sha256",
        )
        self.build_info = self._gauge(
            "asd_build_info", "1, with the program's version as label.", "version", "python"
        )
        self.build_info.labels(__version__, platform.python_version()).set(1)

    def _define_delivery(self) -> None:
        self.queue_depth = self._gauge(
            "asd_queue_depth", "Records waiting to be handed over.", "queue"
        )
        self.dropped = self._counter(
            "asd_dropped_total",
            "Records given up because a queue was full or its far end away.",
            "queue",
        )
        self.mqtt_connected = self._gauge(
            "asd_mqtt_connected",
            "1 while connected to the MQTT broker, 0 while not, NaN where none is configured.",
        )
        self.mqtt_messages = self._counter(
            "asd_mqtt_messages_total", "MQTT messages by what became of them.", "result"
        )
        self.mqtt_reconnects = self._counter(
            "asd_mqtt_reconnects_total", "Times the MQTT connection was made again."
        )
        self.mqtt_failures = self._counter(
            "asd_mqtt_failures_total",
            "Times the MQTT connection could not be made or was lost, by the kind of trouble.",
            "reason",
        )
        self.sink_errors = self._counter(
            "asd_sink_errors_total", "Unexpected errors inside a sink.", "sink"
        )
        self.mqtt_connected.set(nan)
        for result in MQTT_RESULTS:
            self.mqtt_messages.labels(result)
        for reason in MQTT_FAILURES:
            self.mqtt_failures.labels(reason)
        for queue in QUEUES:
            self.queue_depth.labels(queue)
            self.dropped.labels(queue)

    def add_machines(self, machines: Iterable[str]) -> None:
        """Create every series of these machines, so that all of them exist from the start."""
        for machine in machines:
            for at_zero in (
                self.alarms,
                self.shift,
                self.inference,
                self.latency,
                self.audio_frames,
                self.lost_frames,
                self.overflows,
                self.source_up,
                self.source_restarts,
                self.provisional,
                self.calibration_windows,
                self.learned,
                self.learning_target,
            ):
                at_zero.labels(machine)
            for not_yet in (
                self.score,
                self.threshold,
                self.p_value,
                self.level,
                self.last_window,
                self.last_audio,
                self.measured_rate,
            ):
                not_yet.labels(machine).set(nan)
            for result in WINDOW_RESULTS:
                self.windows.labels(machine, result)
            for source_state in SourceState:
                self.source_state.labels(machine, str(source_state))
            self.observe_state(machine, State.UNKNOWN)

    def observe_window(self, window: ScoredWindow, latency_s: float | None = None) -> None:
        """Take one window into account.

        Parameters
        ----------
        window
            The window's result, scored or not.
        latency_s
            From the capture of its last sample to now; None for audio that is not live.
        """
        score, machine = window.score, window.machine
        result = "scored" if score.quality is Quality.OK else str(score.quality)
        self.windows.labels(machine, result).inc()
        series = self._of_windows.get(machine)
        if series is None:
            series = self._of_windows[machine] = _WindowSeries(self, machine)
        series.last_window.set(score.captured_at)
        series.level.set(nan if score.level_dbfs is None else score.level_dbfs)
        series.score.set(nan if score.value is None else score.value)
        series.p_value.set(nan if score.p_value is None else score.p_value)
        series.shift.set(window.decision.shift_s)
        if score.value is not None:
            series.inference.observe(score.inference_s)
        if latency_s is not None:
            series.latency.observe(latency_s)
        if score.threshold is not None:
            series.threshold.set(score.threshold)
        if score.model is not None and score.model != self._models.get(machine):
            self._observe_model(machine, score.model)

    def _observe_model(self, machine: str, model: ModelInfo) -> None:
        old = self._models.get(machine)
        if old is not None:
            self.model_info.remove(machine, old.name, old.revision, old.sha256)
        self._models[machine] = model
        self.model_info.labels(machine, model.name, model.revision, model.sha256).set(1)
        self.provisional.labels(machine).set(model.provisional)
        self.calibration_windows.labels(machine).set(model.calibration_windows)

    def observe_transition(self, transition: Transition) -> None:
        """Take a change of state into account; entering ALARM counts as an alarm raised."""
        self.observe_state(transition.machine, transition.state)
        if transition.state is State.ALARM and transition.previous is not State.ALARM:
            self.alarms.labels(transition.machine).inc()

    def observe_state(self, machine: str, state: State) -> None:
        """Note a machine's present state; in UNKNOWN the last score no longer stands."""
        for each in State:
            self.state.labels(machine, str(each)).set(each is state)
        self.alarm_state.labels(machine).set(state is State.ALARM)
        if state is State.UNKNOWN:
            self.score.labels(machine).set(nan)
            self.p_value.labels(machine).set(nan)
            self.shift.labels(machine).set(0)

    def observe_learning(self, progress: LearningProgress) -> None:
        """Note how far commissioning has come."""
        self.learned.labels(progress.machine).set(progress.learned_s)
        self.learning_target.labels(progress.machine).set(progress.wanted_s)

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
        if health.measured_rate_hz is not None:
            self.measured_rate.labels(machine).set(health.measured_rate_hz)
