"""All Prometheus series of the monitor.

Labels are few (``machine``, and a small fixed set of states or reasons), so the number of series
grows only with the number of machines. All series of a machine are created when it is added:
counters and states start at 0. A measurement that does not exist yet is NaN: comparisons in alert
rules are then false, and graphs have a gap.
"""

import platform
from collections.abc import Iterable, Mapping
from math import nan
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from asd_monitor import __version__
from asd_monitor.records import (
    LearningProgress,
    ModelInfo,
    Quality,
    Rejection,
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
QUEUES = ("mqtt_scores", "mqtt_events", "score_file", "history", "evidence", "web")
HistoryCount = Literal["written", "dropped", "set_aside"]
EVIDENCE_RESULTS = ("kept", "failed")
ALARM_FILE_OPERATIONS = ("read", "write")
MQTT_RESULTS = ("published", "dropped")
MQTT_FAILURES = (
    "settings", "dns", "unreachable", "tls", "login", "lost", "timeout", "taken_over",
)  # fmt: skip

MQTT_REFUSALS = ("size", "topic", "other")

INFERENCE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
EVIDENCE_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _WindowSeries:
    """The series that every window of a machine updates, looked up once."""

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
    """The monitor's series on the caller's registry.

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
        self._define_history()
        self._define_evidence()
        self._last_health: dict[str, SourceHealth] = {}
        self._last_rejected_s: dict[str, Mapping[Rejection, float]] = {}
        self._models: dict[str, ModelInfo] = {}
        self._window_series: dict[str, _WindowSeries] = {}

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, labels, registry=self.registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)

    def _define_scores(self) -> None:
        self.score = self._gauge(
            "asd_anomaly_score",
            "Anomaly score of the newest window, higher = more anomalous; "
            "NaN without a score and in OFF.",
            "machine",
        )
        self.threshold = self._gauge(
            "asd_score_threshold", "A score above this counts towards an alarm.", "machine"
        )
        self.p_value = self._gauge(
            "asd_p_value",
            "How often normal sound scores at least as high as the newest window; "
            "NaN like the score.",
            "machine",
        )
        self.shift = self._gauge(
            "asd_shift_seconds",
            "Seconds the score has continuously exceeded its normal range.",
            "machine",
        )
        self.alarm_state = self._gauge(
            "asd_alarm_state", "1 while the machine is in ALARM, else 0.", "machine"
        )
        self.state = self._gauge(
            "asd_state", "1 for the machine's current state, 0 for the others.", "machine", "state"
        )
        self.alarms = self._counter("asd_alarms_total", "Alarms raised.", "machine")
        self.learned = self._gauge(
            "asd_learned_seconds", "Normal sound collected by commissioning.", "machine"
        )
        self.learning_target = self._gauge(
            "asd_learning_target_seconds", "Normal sound required by commissioning.", "machine"
        )
        self.learning_rejected = self._counter(
            "asd_learning_rejected_seconds_total",
            "Sound that commissioning did not learn from, by reason.",
            "machine",
            "reason",
        )

    def _define_windows(self) -> None:
        self.windows = self._counter("asd_windows_total", "Windows by result.", "machine", "result")
        self.inference = Histogram(
            "asd_inference_duration_seconds",
            "Model time per window: the time of its batch divided by the batch size.",
            ("machine",),
            buckets=INFERENCE_BUCKETS_S,
            registry=self.registry,
        )
        self.latency = Histogram(
            "asd_window_latency_seconds",
            "Time from the capture of a window's last sample to the emission of its score.",
            ("machine",),
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.last_window = self._gauge(
            "asd_last_window_timestamp_seconds",
            "When the last sample of the newest window was captured; NaN before the first.",
            "machine",
        )
        self.level = self._gauge(
            "asd_audio_level_dbfs",
            "RMS level of the newest window, dB relative to full scale; NaN for digital silence.",
            "machine",
        )

    def _define_source(self) -> None:
        self.samples = self._counter(
            "asd_audio_samples_total", "Audio samples received, at the model's rate.", "machine"
        )
        self.lost_samples = self._counter(
            "asd_audio_lost_samples_total",
            "Audio samples lost, computed from the clock, at the model's rate.",
            "machine",
        )
        self.overflows = self._counter(
            "asd_audio_overflows_total", "Overflow flags raised by the audio driver.", "machine"
        )
        self.measured_rate = self._gauge(
            "asd_audio_measured_rate_hertz",
            "Device rate measured against the clock; NaN until it is known.",
            "machine",
        )
        self.source_up = self._gauge(
            "asd_source_up", "1 while audio arrives from the machine's source, else 0.", "machine"
        )
        self.source_state = self._gauge(
            "asd_source_state",
            "1 for the source's current state, 0 for the others.",
            "machine",
            "state",
        )
        self.source_restarts = self._counter(
            "asd_source_restarts_total", "Times the source was reopened.", "machine"
        )
        self.last_audio = self._gauge(
            "asd_last_audio_timestamp_seconds",
            "When the newest audio was captured; NaN before the first.",
            "machine",
        )

    def _define_model(self) -> None:
        self.provisional = self._gauge(
            "asd_threshold_provisional",
            "1 while the threshold is based on too few calibration windows, else 0.",
            "machine",
        )
        self.calibration_windows = self._gauge(
            "asd_calibration_windows", "Windows that the threshold is based on.", "machine"
        )
        self.model_info = self._gauge(
            "asd_model_info",
            "1, labelled with the model in use.",
            "machine",
            "name",
            "revision",
            "sha256",
        )
        self.build_info = self._gauge(
            "asd_build_info", "1, labelled with the program's version.", "version", "python"
        )
        self.build_info.labels(__version__, platform.python_version()).set(1)

    def _define_delivery(self) -> None:
        self.queue_depth = self._gauge("asd_queue_depth", "Records waiting for delivery.", "queue")
        self.dropped = self._counter(
            "asd_dropped_total",
            "Records dropped because a queue was full or its receiver unavailable.",
            "queue",
        )
        self.mqtt_connected = self._gauge(
            "asd_mqtt_connected",
            "1 while connected to the MQTT broker, 0 while not, NaN if none is configured.",
        )
        self.mqtt_messages = self._counter(
            "asd_mqtt_messages_total", "MQTT messages by result.", "result"
        )
        self.mqtt_refused = self._counter(
            "asd_mqtt_refused_total",
            "MQTT messages that the broker refuses, by cause; scores and events among them are "
            "also dropped.",
            "reason",
        )
        self.mqtt_reconnects = self._counter(
            "asd_mqtt_reconnects_total", "Reconnections to the MQTT broker."
        )
        self.mqtt_failures = self._counter(
            "asd_mqtt_failures_total",
            "Failed or lost connections to the MQTT broker, by reason.",
            "reason",
        )
        self.mqtt_node_conflict = self._gauge(
            "asd_mqtt_node_conflict",
            "1 while another monitor has the same node name, 0 while not, NaN without MQTT.",
        )
        self.sink_errors = self._counter(
            "asd_sink_errors_total", "Unexpected errors inside a sink.", "sink"
        )
        self.alarm_file_errors = self._counter(
            "asd_alarm_file_errors_total",
            "Failures to read or write the file that carries an alarm over a restart.",
            "operation",
        )
        for operation in ALARM_FILE_OPERATIONS:
            self.alarm_file_errors.labels(operation)
        self.mqtt_connected.set(nan)
        self.mqtt_node_conflict.set(nan)
        for result in MQTT_RESULTS:
            self.mqtt_messages.labels(result)
        for cause in MQTT_REFUSALS:
            self.mqtt_refused.labels(cause)
        for reason in MQTT_FAILURES:
            self.mqtt_failures.labels(reason)
        for queue in QUEUES:
            self.queue_depth.labels(queue)
            self.dropped.labels(queue)

    def _define_history(self) -> None:
        self.history_writing = self._gauge(
            "asd_history_writing",
            "1 while the history is written, 0 while it cannot be, NaN if it is off.",
        )
        self.history_size = self._gauge(
            "asd_history_size_bytes", "Size of the history's database; NaN if it is off."
        )
        self.history_scores = self._counter(
            "asd_history_scores_total", "Scores written to the history."
        )
        self.history_set_aside = self._counter(
            "asd_history_set_aside_total", "Damaged databases of the history that were set aside."
        )
        self.history_writing.set(nan)
        self.history_size.set(nan)

    def count_history(self, kind: HistoryCount, number: int) -> None:
        """Count records of the history that were written or dropped, or files set aside."""
        counters = {
            "written": self.history_scores,
            "dropped": self.dropped.labels("history"),
            "set_aside": self.history_set_aside,
        }
        counters[kind].inc(number)

    def _define_evidence(self) -> None:
        self.evidence = self._counter(
            "asd_evidence_total", "Attempts to keep the evidence of an event, by result.", "result"
        )
        self.evidence_bytes = self._gauge(
            "asd_evidence_bytes", "Size of the evidence of all events on the disk."
        )
        self.evidence_events = self._gauge(
            "asd_evidence_events", "Events that have evidence on the disk."
        )
        self.evidence_duration = Histogram(
            "asd_evidence_duration_seconds",
            "Time to make a part of an event's evidence, in a thread of its own.",
            buckets=EVIDENCE_BUCKETS_S,
            registry=self.registry,
        )
        for result in EVIDENCE_RESULTS:
            self.evidence.labels(result)

    def add_machines(self, machines: Iterable[str]) -> None:
        """Create all series of these machines, so that they exist from the start."""
        zero_at_first = (
            self.alarms, self.shift, self.inference, self.latency, self.samples,
            self.lost_samples, self.overflows, self.source_up, self.source_restarts,
            self.provisional, self.calibration_windows, self.learned, self.learning_target,
        )  # fmt: skip
        nan_at_first = (
            self.score, self.threshold, self.p_value, self.level, self.last_window,
            self.last_audio, self.measured_rate,
        )  # fmt: skip
        for machine in machines:
            for series in zero_at_first:
                series.labels(machine)
            for gauge in nan_at_first:
                gauge.labels(machine).set(nan)
            for result in WINDOW_RESULTS:
                self.windows.labels(machine, result)
            for reason in Rejection:
                self.learning_rejected.labels(machine, str(reason))
            for source_state in SourceState:
                self.source_state.labels(machine, str(source_state))
            self.observe_state(machine, State.UNKNOWN)

    def observe_window(self, window: ScoredWindow, latency_s: float | None = None) -> None:
        """Record the result of a window.

        Parameters
        ----------
        window
            The window, scored or not.
        latency_s
            Time since the capture of its last sample; None for audio that is not live.
        """
        score, machine = window.score, window.machine
        result = "scored" if score.quality is Quality.OK else str(score.quality)
        self.windows.labels(machine, result).inc()
        series = self._window_series.get(machine)
        if series is None:
            series = self._window_series[machine] = _WindowSeries(self, machine)
        series.last_window.set(score.captured_at)
        series.level.set(nan if score.level_dbfs is None else score.level_dbfs)
        off = window.decision.state is State.OFF
        series.score.set(nan if off or score.value is None else score.value)
        series.p_value.set(nan if off or score.p_value is None else score.p_value)
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
        """Record a change of state; entering ALARM counts as an alarm."""
        self.observe_state(transition.machine, transition.state)
        if transition.state is State.ALARM and transition.previous is not State.ALARM:
            self.alarms.labels(transition.machine).inc()

    def observe_state(self, machine: str, state: State) -> None:
        """Record a machine's current state; in UNKNOWN and OFF the last score does not apply."""
        for other in State:
            self.state.labels(machine, str(other)).set(other is state)
        self.alarm_state.labels(machine).set(state is State.ALARM)
        if state in (State.UNKNOWN, State.OFF):
            self.score.labels(machine).set(nan)
            self.p_value.labels(machine).set(nan)
            self.shift.labels(machine).set(0)

    def observe_learning(self, progress: LearningProgress) -> None:
        """Record the progress of commissioning."""
        self.learned.labels(progress.machine).set(progress.learned_s)
        self.learning_target.labels(progress.machine).set(progress.required_s)
        last = self._last_rejected_s.get(progress.machine, {})
        self._last_rejected_s[progress.machine] = progress.rejected_s
        for reason, seconds in progress.rejected_s.items():
            counter = self.learning_rejected.labels(progress.machine, str(reason))
            counter.inc(max(0.0, seconds - last.get(reason, 0.0)))

    def observe_health(self, health: SourceHealth) -> None:
        """Record a source's health; increases of its totals become counter increments."""
        machine, last = health.machine, self._last_health.get(health.machine)
        self._last_health[machine] = health
        for counter, total, last_total in (
            (self.samples, health.samples, last.samples if last else 0),
            (self.lost_samples, health.lost_samples, last.lost_samples if last else 0),
            (self.overflows, health.overflows, last.overflows if last else 0),
            (self.source_restarts, health.reopens, last.reopens if last else 0),
        ):
            if total > last_total:
                counter.labels(machine).inc(total - last_total)
        self.source_up.labels(machine).set(health.state is SourceState.RUNNING)
        for other in SourceState:
            self.source_state.labels(machine, str(other)).set(other is health.state)
        if health.last_audio_at is not None:
            self.last_audio.labels(machine).set(health.last_audio_at)
        if health.measured_rate_hz is not None:
            self.measured_rate.labels(machine).set(health.measured_rate_hz)
