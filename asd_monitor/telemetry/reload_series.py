"""The series of reloads of the configuration."""

from asd_monitor.telemetry.reload_result import ReloadResult
from asd_monitor.telemetry.series_factory import SeriesFactory


class ReloadSeries:
    """Whether the configuration in use is that of the last reload."""

    def __init__(self, factory: SeriesFactory) -> None:
        self.successful = factory.gauge(
            "asd_config_last_reload_successful",
            "1 if the last reload of the configuration was successful, or there was none; else 0.",
        )
        self.timestamp = factory.gauge(
            "asd_config_last_reload_success_timestamp_seconds",
            "When the configuration was last read and used: at the start or by a reload.",
        )
        self.successful.set(1)
        self.timestamp.set_to_current_time()

    def observe(self, result: ReloadResult) -> None:
        """Record the result of a reload."""
        self.successful.set(result.is_successful)
        if result.is_successful:
            self.timestamp.set(result.at_s)
