"""The present values of all machines, and what a host has been sent of them."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from asd_monitor.sinks.mqtt.sparkplug.device_metrics import DEVICE_METRICS, Values
from asd_monitor.sinks.mqtt.sparkplug.payload import DataType, Metric, MetricQuality, Value
from asd_monitor.sinks.payloads import Names

SCORE = "score"


@dataclass(frozen=True, slots=True)
class _Reading:
    value: Value = None
    at_ms: int = 0
    quality: MetricQuality | None = None

    def is_same(self, other: "_Reading") -> bool:
        """Whether another reading differs in its time only."""
        return (self.value, self.quality) == (other.value, other.quality)


@dataclass(slots=True)
class _Device:
    readings: dict[str, _Reading]
    sent: dict[str, _Reading] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    """Metrics with a new value that is in no message of the outbox."""


class Devices:
    """The machines as devices; may be used from several threads.

    After the birth of a device, a metric is identified by its alias, and sent only when its value
    has changed; the score is sent for each window.

    Parameters
    ----------
    machines
        Ids of the machines at the start.
    names
        Names of the machines for people, by id; looked up at each use.
    """

    def __init__(self, machines: Iterable[str], names: Names) -> None:
        self._lock = threading.Lock()  # guards all below
        self._names = names
        self._devices: dict[str, _Device] = {}
        self._aliases: dict[tuple[str, str], int] = {}
        self._unborn: list[str] = []
        self._removed: list[str] = []
        for machine in machines:
            self._add(machine)

    def _add(self, machine: str) -> _Device:
        quality = MetricQuality.STALE
        readings = {name: _Reading() for name in DEVICE_METRICS} | {
            SCORE: _Reading(None, 0, quality)
        }
        device = self._devices[machine] = _Device(readings)
        self._unborn.append(machine)
        for name in DEVICE_METRICS:
            self._aliases.setdefault((machine, name), len(self._aliases) + 1)
        return device

    @property
    def machines(self) -> list[str]:
        """Ids of the present machines."""
        with self._lock:
            return list(self._devices)

    def update(self, machine: str, values: Values, at_ms: int, *, send: bool) -> None:
        """Note values; the device is added if there is none.

        Parameters
        ----------
        machine
            The machine's id.
        values
            Values by the names of their metrics.
        at_ms
            Time of the values, in milliseconds since the epoch.
        send
            False: a message of the outbox carries them.
        """
        with self._lock:
            device = self._devices.get(machine) or self._add(machine)
            new = _read(values, at_ms)
            state = values.get("source/state")
            if state is not None and state != "running":
                score = device.readings[SCORE]
                new[SCORE] = replace(score, quality=MetricQuality.STALE)
            device.readings.update(new)
            if send:
                device.changed.update(new)
            name = self._names.get(machine, machine)
            if device.readings["name"].value != name:
                device.readings["name"] = _Reading(name, at_ms)
                device.changed.add("name")

    def remove(self, machine: str) -> None:
        """Remove a machine, whose device then dies."""
        with self._lock:
            if self._devices.pop(machine, None) is not None:
                self._removed.append(machine)
                self._unborn = [each for each in self._unborn if each != machine]

    def begin(self) -> None:
        """Let every device be born again, and none die, as after the birth of the edge node."""
        with self._lock:
            self._unborn = list(self._devices)
            self._removed.clear()

    def take_removed(self) -> str | None:
        """Return a machine whose death is to be published."""
        with self._lock:
            return self._removed.pop(0) if self._removed else None

    def take_unborn(self, now_ms: int) -> tuple[str, list[Metric]] | None:
        """Return a machine that is to be born, and all of its metrics."""
        with self._lock:
            if not self._unborn:
                return None
            machine = self._unborn.pop(0)
            device = self._devices[machine]
            if device.readings["name"].value is None:
                name = self._names.get(machine, machine)
                device.readings["name"] = _Reading(name, now_ms)
            device.sent = dict(device.readings)
            device.changed.clear()
            metrics = [
                self._metric(machine, name, reading, now_ms)
                for name, reading in device.readings.items()
            ]
            return machine, [
                replace(metric, name=name)
                for metric, name in zip(metrics, device.readings, strict=True)
            ]

    def take_changes(self, now_ms: int) -> tuple[str, list[Metric]] | None:
        """Return a machine with values that are to be sent outside of the outbox."""
        with self._lock:
            for machine, device in self._devices.items():
                names = [name for name in device.readings if name in device.changed]
                device.changed.clear()
                readings = {name: device.readings[name] for name in names}
                if metrics := self._differing(machine, device, readings, now_ms):
                    return machine, metrics
        return None

    def present(self, machine: str, values: Values, at_ms: int) -> list[Metric] | None:
        """Return what of a message of the outbox is new to a host; None without that device."""
        with self._lock:
            device = self._devices.get(machine)
            if device is None:
                return None
            return self._differing(machine, device, _read(values, at_ms), at_ms)

    def late(self, machine: str, values: Values, at_ms: int) -> list[Metric] | None:
        """Return a message of the backlog as historical values; None without that device."""
        with self._lock:
            if machine not in self._devices:
                return None
            metrics = [
                self._metric(machine, name, reading, at_ms)
                for name, reading in _read(values, at_ms).items()
            ]
        return [replace(metric, is_historical=True) for metric in metrics]

    def shift_times(self, step_ms: int) -> None:
        """Correct the times of what is kept, because the clock was set."""
        with self._lock:
            for device in self._devices.values():
                for readings in (device.readings, device.sent):
                    for name, reading in readings.items():
                        if reading.at_ms:
                            at_ms = max(reading.at_ms + step_ms, 1)
                            readings[name] = replace(reading, at_ms=at_ms)

    def _differing(
        self, machine: str, device: _Device, readings: dict[str, _Reading], now_ms: int
    ) -> list[Metric]:
        """Return the readings that a host does not have, and note that it is sent them.

        Those that are older than what it has, as after a birth, are historical.
        """
        metrics = []
        for name, reading in readings.items():
            sent = device.sent.get(name, _Reading())
            if reading == sent or (name != SCORE and reading.is_same(sent)):
                continue
            is_late = 0 < reading.at_ms < sent.at_ms
            metric = self._metric(machine, name, reading, now_ms)
            metrics.append(replace(metric, is_historical=is_late))
            if not is_late:
                device.sent[name] = reading
        return metrics

    def _metric(self, machine: str, name: str, reading: _Reading, now_ms: int) -> Metric:
        alias = self._aliases[machine, name]
        data_type = DEVICE_METRICS[name]
        return Metric(
            "", data_type, reading.value, reading.at_ms or now_ms, alias, quality=reading.quality
        )


def _read(values: Values, at_ms: int) -> dict[str, _Reading]:
    """Return values as readings; the score has a quality, as that of its window."""
    readings = {}
    for name, value in values.items():
        if DEVICE_METRICS[name] is DataType.INT64 and value is not None:
            value = int(value)
        quality = None
        if name == SCORE:
            is_good = values.get("quality") == "ok" and value is not None
            quality = MetricQuality.GOOD if is_good else MetricQuality.BAD
        readings[name] = _Reading(value, at_ms, quality)
    return readings
