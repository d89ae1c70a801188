"""The series of what people did about events."""

from asd_monitor.records import MachineAlarm
from asd_monitor.telemetry.series_factory import SeriesFactory

VERDICTS = ("normal", "fault", "unsure")
COMMAND_RESULTS = ("accepted", "refused")


class JudgingSeries:
    """Verdicts, acknowledgements, silenced machines, and commands received over MQTT."""

    def __init__(self, factory: SeriesFactory) -> None:
        self.verdicts = factory.counter(
            "asd_events_total",
            "Verdicts that people gave about events, since the start.",
            "verdict",
        )
        self.unacknowledged = factory.gauge(
            "asd_events_unacknowledged",
            "Events that no one has acknowledged or judged.",
            "machine",
        )
        self.silenced = factory.gauge(
            "asd_notifications_silenced",
            "1 while the machine is shelved or in maintenance, else 0.",
            "machine",
        )
        self.commands = factory.counter(
            "asd_commands_total", "Commands received over MQTT, by result.", "result"
        )
        for verdict in VERDICTS:
            self.verdicts.labels(verdict)
        for result in COMMAND_RESULTS:
            self.commands.labels(result)

    def add_machine(self, machine: str) -> None:
        """Create the series of a machine."""
        self.unacknowledged.labels(machine)
        self.silenced.labels(machine)

    def observe(self, alarm: MachineAlarm) -> None:
        """Record what people did about the events of a machine."""
        self.unacknowledged.labels(alarm.machine).set(alarm.unacknowledged)
        self.silenced.labels(alarm.machine).set(alarm.is_silent)
