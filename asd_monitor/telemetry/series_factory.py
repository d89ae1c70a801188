"""Make series on one registry."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

MACHINE = "machine"
Series = TypeVar("Series", Counter, Gauge, Histogram)


@dataclass(frozen=True, slots=True)
class SeriesFactory:
    """Make gauges and counters with given labels."""

    registry: CollectorRegistry
    _by_machine: list[Any] = field(default_factory=list)

    def gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        """Return a new gauge."""
        return self.keep(Gauge(name, help_text, labels, registry=self.registry))

    def counter(self, name: str, help_text: str, *labels: str) -> Counter:
        """Return a new counter."""
        return self.keep(Counter(name, help_text, labels, registry=self.registry))

    def keep(self, series: Series) -> Series:
        """Return a series, which :meth:`remove_machine` covers if it has the label of one."""
        if MACHINE in series._labelnames:
            self._by_machine.append(series)
        return series

    def remove_machine(self, machine: str) -> None:
        """Remove the series of a machine."""
        for series in self._by_machine:
            for labels in list(series._metrics):
                if labels[series._labelnames.index(MACHINE)] == machine:
                    series.remove(*labels)
