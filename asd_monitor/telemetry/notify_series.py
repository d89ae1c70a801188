"""The series of notifications."""

from asd_monitor.telemetry.series_factory import SeriesFactory

RESULTS = ("sent", "retried", "failed", "suppressed")


class NotifySeries:
    """Notifications by result."""

    def __init__(self, factory: SeriesFactory) -> None:
        self.results = factory.counter(
            "asd_notifications_total",
            "Notifications by result, for each address; suppressed ones are counted once.",
            "result",
        )
        for result in RESULTS:
            self.results.labels(result)
