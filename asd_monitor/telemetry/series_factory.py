"""Make series on one registry."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True, slots=True)
class SeriesFactory:
    """Make gauges and counters with given labels."""

    registry: CollectorRegistry

    def gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        """Return a new gauge."""
        return Gauge(name, help_text, labels, registry=self.registry)

    def counter(self, name: str, help_text: str, *labels: str) -> Counter:
        """Return a new counter."""
        return Counter(name, help_text, labels, registry=self.registry)
