"""The series of the events' evidence."""

from prometheus_client import Histogram

from asd_monitor.telemetry.series_factory import SeriesFactory

EVIDENCE_RESULTS = ("kept", "failed")
EVIDENCE_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class EvidenceSeries:
    """Evidence kept, its size, and the time that it took."""

    def __init__(self, factory: SeriesFactory) -> None:
        self.results = factory.counter(
            "asd_evidence_total", "Attempts to keep the evidence of an event, by result.", "result"
        )
        self.bytes = factory.gauge(
            "asd_evidence_bytes", "Size of the evidence of all events on the disk."
        )
        self.events = factory.gauge("asd_evidence_events", "Events that have evidence on the disk.")
        self.duration = Histogram(
            "asd_evidence_duration_seconds",
            "Time to make a part of an event's evidence, in a thread of its own.",
            buckets=EVIDENCE_BUCKETS_S,
            registry=factory.registry,
        )
        for result in EVIDENCE_RESULTS:
            self.results.labels(result)
