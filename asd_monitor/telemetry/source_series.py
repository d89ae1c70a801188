"""The series of the machines' sources of audio."""

from math import nan

from asd_monitor.records import SourceHealth, SourceState
from asd_monitor.telemetry.series_factory import SeriesFactory


class SourceSeries:
    """Audio received and lost, and the state of each source."""

    def __init__(self, factory: SeriesFactory) -> None:
        self._last_health: dict[str, SourceHealth] = {}
        self.samples = factory.counter(
            "asd_audio_samples_total", "Audio samples received, at the model's rate.", "machine"
        )
        self.lost_samples = factory.counter(
            "asd_audio_lost_samples_total",
            "Audio samples lost, computed from the clock, at the model's rate.",
            "machine",
        )
        self.overflows = factory.counter(
            "asd_audio_overflows_total", "Overflow flags raised by the audio driver.", "machine"
        )
        self.measured_rate = factory.gauge(
            "asd_audio_measured_rate_hertz",
            "Device rate measured against the clock; NaN until it is known.",
            "machine",
        )
        self.rate = factory.gauge(
            "asd_audio_rate_hertz",
            "Rate at which the device is opened; NaN until it is known.",
            "machine",
        )
        self.source_up = factory.gauge(
            "asd_source_up", "1 while audio arrives from the machine's source, else 0.", "machine"
        )
        self.source_state = factory.gauge(
            "asd_source_state",
            "1 for the source's current state, 0 for the others.",
            "machine",
            "state",
        )
        self.source_restarts = factory.counter(
            "asd_source_restarts_total", "Times the source was reopened.", "machine"
        )
        self.last_audio = factory.gauge(
            "asd_last_audio_timestamp_seconds",
            "When the newest audio was captured; NaN before the first.",
            "machine",
        )

    def add_machine(self, machine: str) -> None:
        """Create all series of a machine."""
        for series in (
            self.samples, self.lost_samples, self.overflows, self.source_up, self.source_restarts,
        ):  # fmt: skip
            series.labels(machine)
        for gauge in (self.last_audio, self.measured_rate, self.rate):
            gauge.labels(machine).set(nan)
        for state in SourceState:
            self.source_state.labels(machine, str(state))

    def remove_machine(self, machine: str) -> None:
        """Forget the totals of a machine, whose series were removed."""
        self._last_health.pop(machine, None)

    def observe(self, health: SourceHealth) -> None:
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
        if health.rate_hz is not None:
            self.rate.labels(machine).set(health.rate_hz)
