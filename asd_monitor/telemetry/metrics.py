"""All Prometheus series of the monitor, by concept.

Labels are few (``machine``, and a small fixed set of states or reasons), so the number of series
grows only with the number of machines. Most series of a machine are created when it is added:
counters and states start at 0. Those of rare results of windows are created when they first occur,
and those of rejected sound when the machine is learned. Durations are distributions of the whole
process. A measurement that does not exist yet is NaN: comparisons in alert rules are then false,
and graphs have a gap.
"""

import platform
from collections.abc import Iterable, Mapping
from math import nan

from prometheus_client import CollectorRegistry, Histogram

from asd_monitor import __version__
from asd_monitor.records import (
    LearningProgress,
    ModelInfo,
    Quality,
    Rejection,
    ScoredWindow,
    State,
    Transition,
)
from asd_monitor.telemetry.calibration_series import CalibrationSeries
from asd_monitor.telemetry.clock_watch import ClockWatch
from asd_monitor.telemetry.event_series import EventSeries
from asd_monitor.telemetry.evidence_series import EvidenceSeries
from asd_monitor.telemetry.history_series import HistorySeries
from asd_monitor.telemetry.judging_series import JudgingSeries
from asd_monitor.telemetry.mqtt_series import MqttSeries, SparkplugSeries
from asd_monitor.telemetry.notify_series import NotifySeries
from asd_monitor.telemetry.passing_series import PassingSeries
from asd_monitor.telemetry.reload_series import ReloadSeries
from asd_monitor.telemetry.series_factory import SeriesFactory
from asd_monitor.telemetry.source_series import SourceSeries

USUAL_RESULTS = ("scored", "late")
QUEUES = (
    "mqtt_scores", "mqtt_events", "sparkplug", "score_file", "history", "evidence", "web", "notify",
)  # fmt: skip
ALARM_FILE_OPERATIONS = ("read", "write")

INFERENCE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _WindowSeries:
    """The series that every window of a machine updates, looked up once."""

    def __init__(self, metrics: "Metrics", machine: str) -> None:
        self.score = metrics.score.labels(machine)
        self.threshold = metrics.threshold.labels(machine)
        self.normal_range = metrics.normal_range.labels(machine)
        self.p_value = metrics.p_value.labels(machine)
        self.shift = metrics.shift.labels(machine)
        self.level = metrics.level.labels(machine)
        self.last_window = metrics.last_window.labels(machine)


class Metrics:
    """The monitor's series on the caller's registry.

    Parameters
    ----------
    registry
        Where the series are registered; each monitor and each test has its own.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._factory = SeriesFactory(registry)
        self._define_scores()
        self._define_windows()
        self._define_model()
        self._define_delivery()
        self.source = SourceSeries(self._factory)
        self.mqtt = MqttSeries(self._factory)
        self.sparkplug = SparkplugSeries(self._factory)
        self.history = HistorySeries(self._factory, self.dropped.labels("history"))
        self.evidence = EvidenceSeries(self._factory)
        self.judging = JudgingSeries(self._factory)
        self.calibration = CalibrationSeries(self._factory)
        self.event = EventSeries(self._factory)
        self.notify = NotifySeries(self._factory)
        self.passing = PassingSeries(self._factory)
        self.reload = ReloadSeries(self._factory)
        self._last_rejected_s: dict[str, Mapping[Rejection, float]] = {}
        self._models: dict[str, ModelInfo] = {}
        self._window_series: dict[str, _WindowSeries] = {}
        self._modes: dict[str, str] = {}

    def _define_scores(self) -> None:
        self.score = self._factory.gauge(
            "asd_anomaly_score",
            "Anomaly score of the newest window, higher = more anomalous; "
            "NaN without a score and in OFF.",
            "machine",
        )
        self.threshold = self._factory.gauge(
            "asd_score_threshold", "A score above this counts towards an alarm.", "machine"
        )
        self.normal_range = self._factory.gauge(
            "asd_score_normal_range",
            "Upper end of the normal range of the score; NaN where the model has none.",
            "machine",
        )
        self.p_value = self._factory.gauge(
            "asd_p_value",
            "How often normal sound scores at least as high as the newest window; "
            "NaN like the score.",
            "machine",
        )
        self.shift = self._factory.gauge(
            "asd_shift_seconds",
            "Seconds for which there has been evidence that the sound is above its normal range.",
            "machine",
        )
        self.alarm_state = self._factory.gauge(
            "asd_alarm_state", "1 while the machine is in ALARM, else 0.", "machine"
        )
        self.state = self._factory.gauge(
            "asd_state", "1 for the machine's current state, 0 for the others.", "machine", "state"
        )
        self.mode = self._factory.gauge(
            "asd_mode_info",
            "1 for the mode that the machine is in; absent where the model file has no modes.",
            "machine",
            "mode",
        )
        self.alarms = self._factory.counter("asd_alarms_total", "Alarms raised.", "machine")
        self.learned = self._factory.gauge(
            "asd_learned_seconds", "Normal sound collected by commissioning.", "machine"
        )
        self.learning_target = self._factory.gauge(
            "asd_learning_target_seconds", "Normal sound required by commissioning.", "machine"
        )
        self.learning_rejected = self._factory.counter(
            "asd_learning_rejected_seconds_total",
            "Sound that commissioning did not learn from, by reason.",
            "machine",
            "reason",
        )

    def _define_windows(self) -> None:
        self.windows = self._factory.counter(
            "asd_windows_total", "Windows by result.", "machine", "result"
        )
        self.inference = self._factory.keep(
            Histogram(
                "asd_inference_duration_seconds",
                "Model time per window: the time of its batch divided by the batch size.",
                buckets=INFERENCE_BUCKETS_S,
                registry=self.registry,
            )
        )
        self.latency = self._factory.keep(
            Histogram(
                "asd_window_latency_seconds",
                "Time from the capture of a window's last sample to the emission of its score.",
                buckets=LATENCY_BUCKETS_S,
                registry=self.registry,
            )
        )
        self.last_window = self._factory.gauge(
            "asd_last_window_timestamp_seconds",
            "When the last sample of the newest window was captured; NaN before the first.",
            "machine",
        )
        self.level = self._factory.gauge(
            "asd_audio_level_dbfs",
            "RMS level of the newest window, dB relative to full scale; NaN for digital silence.",
            "machine",
        )

    def _define_model(self) -> None:
        self.provisional = self._factory.gauge(
            "asd_threshold_provisional",
            "1 while the threshold is based on too few calibration windows, else 0.",
            "machine",
        )
        self.calibration_windows = self._factory.gauge(
            "asd_calibration_windows", "Windows that the threshold is based on.", "machine"
        )
        self.model_info = self._factory.gauge(
            "asd_model_info",
            "1, labelled with the model in use.",
            "machine",
            "name",
            "revision",
            "sha256",
        )
        self.build_info = self._factory.gauge(
            "asd_build_info", "1, labelled with the program's version.", "version", "python"
        )
        self.build_info.labels(__version__, platform.python_version()).set(1)
        self.clock_watch = ClockWatch(self._factory)

    def _define_delivery(self) -> None:
        self.queue_depth = self._factory.gauge(
            "asd_queue_depth", "Records waiting for delivery.", "queue"
        )
        self.dropped = self._factory.counter(
            "asd_dropped_total",
            "Records dropped because a queue was full or its receiver unavailable.",
            "queue",
        )
        self.sink_errors = self._factory.counter(
            "asd_sink_errors_total", "Unexpected errors inside a sink.", "sink"
        )
        self.alarm_file_errors = self._factory.counter(
            "asd_alarm_file_errors_total",
            "Failures to read or write the file that carries an alarm over a restart.",
            "operation",
        )
        for operation in ALARM_FILE_OPERATIONS:
            self.alarm_file_errors.labels(operation)
        for queue in QUEUES:
            self.queue_depth.labels(queue)
            self.dropped.labels(queue)

    def add_machines(self, machines: Iterable[str]) -> None:
        """Create the series of these machines, so that they exist from the start."""
        zero_at_first = (
            self.alarms, self.shift, self.provisional, self.calibration_windows,
            self.learned, self.learning_target,
        )  # fmt: skip
        nan_at_first = (
            self.score, self.threshold, self.normal_range, self.p_value, self.level,
            self.last_window,
        )  # fmt: skip
        for machine in machines:
            for series in zero_at_first:
                series.labels(machine)
            for gauge in nan_at_first:
                gauge.labels(machine).set(nan)
            for result in USUAL_RESULTS:
                self.windows.labels(machine, result)
            self.source.add_machine(machine)
            self.judging.add_machine(machine)
            self.calibration.add_machine(machine)
            self.passing.add_machine(machine)
            self.observe_state(machine, State.UNKNOWN)

    def remove_machine(self, machine: str) -> None:
        """Remove all series of a machine that is no longer monitored."""
        self._factory.remove_machine(machine)
        self.source.remove_machine(machine)
        self._models.pop(machine, None)
        self._window_series.pop(machine, None)
        self._last_rejected_s.pop(machine, None)

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
            self.inference.observe(score.inference_s)
        if latency_s is not None:
            self.latency.observe(latency_s)
        if score.threshold is not None:
            series.threshold.set(score.threshold)
        if (normal_range := window.decision.normal_range) is not None:
            series.normal_range.set(normal_range)
        if score.model is not None and score.model != self._models.get(machine):
            self._observe_model(machine, score.model)
        self._observe_mode(machine, window.decision.mode)
        self.passing.observe(machine, window.decision)

    def _observe_mode(self, machine: str, mode: str) -> None:
        old = self._modes.get(machine, "")
        if mode == old:
            return
        if old:
            self.mode.remove(machine, old)
        if mode:
            self.mode.labels(machine, mode).set(1)
        self._modes[machine] = mode

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
        if progress.machine not in self._last_rejected_s:
            for reason in Rejection:
                self.learning_rejected.labels(progress.machine, str(reason))
        last = self._last_rejected_s.get(progress.machine, {})
        self._last_rejected_s[progress.machine] = progress.rejected_s
        for reason, seconds in progress.rejected_s.items():
            counter = self.learning_rejected.labels(progress.machine, str(reason))
            counter.inc(max(0.0, seconds - last.get(reason, 0.0)))
