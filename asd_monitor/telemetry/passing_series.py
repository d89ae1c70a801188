"""The series of passing sounds that are not counted as faults."""

from asd_monitor.records import Decision, PassingSound
from asd_monitor.telemetry.series_factory import SeriesFactory


class PassingSeries:
    """Passing sounds by kind."""

    def __init__(self, factory: SeriesFactory) -> None:
        self.sounds = factory.counter(
            "asd_passing_sounds_total",
            "Passing sounds that were not counted as faults, by kind.",
            "machine",
            "kind",
        )
        self._present: dict[str, bool] = {}

    def add_machine(self, machine: str) -> None:
        """Create the series of a machine."""
        for kind in PassingSound:
            self.sounds.labels(machine, str(kind))

    def observe(self, machine: str, decision: Decision) -> None:
        """Count a passing sound when it begins."""
        begins = decision.passing is not None and not self._present.get(machine, False)
        self._present[machine] = decision.passing is not None
        if begins:
            self.sounds.labels(machine, str(decision.passing)).inc()
