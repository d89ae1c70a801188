"""The series of the calibration that continues while monitoring, and of slow drift."""

from math import nan

from asd_monitor.telemetry.series_factory import SeriesFactory


class CalibrationSeries:
    """Normal sound of monitoring that extends the calibration, and drift since commissioning."""

    def __init__(self, factory: SeriesFactory) -> None:
        self.sample = factory.gauge(
            "asd_calibration_sample_seconds",
            "Normal sound of monitoring in the calibration sample.",
            "machine",
        )
        self.extensions = factory.counter(
            "asd_calibration_extensions_total",
            "Times that the limits were computed again from the calibration sample.",
            "machine",
        )
        self.supported = factory.gauge(
            "asd_supported_false_alarms_per_month",
            "Fewest false alarms a month that the learned sound supports; NaN until it is known.",
            "machine",
        )
        self.drift_scales = factory.gauge(
            "asd_drift_scales",
            "Largest deviation of a part of last week's sound, in normal spreads; NaN if unknown.",
            "machine",
        )
        self.drift_db = factory.gauge(
            "asd_drift_decibels",
            "Largest change of level, in all or in a band, of last week's sound; NaN if unknown.",
            "machine",
        )
        self.file_errors = factory.counter(
            "asd_calibration_file_errors_total",
            "Failures to write the files of the calibration that continues while monitoring.",
        )

    def add_machine(self, machine: str) -> None:
        """Create the series of a machine."""
        self.sample.labels(machine)
        self.extensions.labels(machine)
        for gauge in (self.supported, self.drift_scales, self.drift_db):
            gauge.labels(machine).set(nan)
