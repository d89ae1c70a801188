"""Extend the calibration of the machines with normal sound of monitoring, in a separate thread."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asd_monitor.config import Config
from asd_monitor.detection.support import needed_s, supported_per_month
from asd_monitor.errors import AsdMonitorError
from asd_monitor.evidence.ring import SoundRing
from asd_monitor.recalibration.extension import (
    describe_change,
    fit_extension,
)
from asd_monitor.recalibration.files import CalibrationFiles
from asd_monitor.recalibration.followed_machine import FollowedMachine
from asd_monitor.recalibration.hours import append_hour
from asd_monitor.records import (
    CalibrationStatus,
    MachineAlarm,
    MachineRemoved,
    Record,
    ScoredWindow,
)
from asd_monitor.runtime.pipeline import Adjustment
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.telemetry.calibration_series import CalibrationSeries
from asd_monitor.terminal.durations import format_rough_duration

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector

logger = logging.getLogger(__name__)

INTERVAL_S = 5.0
"""The thread works at this interval."""
STATUS_INTERVAL_S = 60.0
MAX_WAITING = 50_000
"""Windows that wait for the thread; more are left out, as if their audio had been lost."""
CLOSE_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class _Reset:
    machine: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the continued calibration works with."""

    config: Callable[[], Config]
    """Return the present settings."""
    detector: "Callable[[str], Detector | None]"
    """Return the detector of a machine."""
    rings: Mapping[str, SoundRing]
    """The newest sound of machines whose sound is kept in memory."""
    adjust: Callable[[str, Adjustment], None]
    """Judge a machine by other limits between two windows."""
    post: Callable[[Record], None]
    """Hand a record to all sinks."""
    record: Callable[[str, str], None]
    """Record a change of the limits of a machine in the history."""
    clock: Callable[[], float] = time.time


class ContinuedCalibration:
    """A sink that collects normal operation, and computes the limits again as it grows.

    Parameters
    ----------
    state
        The state folder, in which sample, limits and hours are kept.
    series
        Where they are counted.
    surroundings
        What it works with.
    """

    def __init__(
        self, state: StateFolder, series: CalibrationSeries, surroundings: Surroundings
    ) -> None:
        self._state = state
        self._series = series
        self._around = surroundings
        self._condition = threading.Condition()
        self._waiting: deque[Record | _Reset] = deque(maxlen=MAX_WAITING)
        self._closing = False
        self._machines: dict[str, FollowedMachine] = {}
        self._shelved: dict[str, bool] = {}
        self._failing: set[Path] = set()
        self._thread = threading.Thread(target=self._run, name="calibration", daemon=True)

    def open(self) -> None:
        """Start the thread."""
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Queue a record; returns at once."""
        if isinstance(record, ScoredWindow | MachineAlarm | MachineRemoved):
            self._waiting.append(record)

    def forget(self, machine: str) -> None:
        """Discard what was collected of a machine, because a person said so; from any thread."""
        self._waiting.append(_Reset(machine))

    def begin_again(self, machine: str) -> None:
        """Follow a machine by its present settings, with what was collected; from any thread."""
        self._waiting.append(MachineRemoved(machine))

    def close(self) -> None:
        """Process what waits, and end the thread; may be called twice."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closing, INTERVAL_S)
                closing = self._closing
            try:
                self.work()
            except Exception:  # the thread's top: a fault here must not end it
                logger.exception("the calibration cannot be continued")
            if closing:
                return

    def work(self) -> None:
        """Process the records that wait."""
        while self._waiting:
            record = self._waiting.popleft()
            match record:
                case MachineAlarm():
                    self._shelved[record.machine] = record.is_silent
                case MachineRemoved() | _Reset():
                    self._machines.pop(record.machine, None)
                    if isinstance(record, _Reset):
                        CalibrationFiles(self._state.root, record.machine).reset()
                case ScoredWindow():
                    self._add(record)

    def _add(self, window: ScoredWindow) -> None:
        machine = self._follow(window)
        if machine is None:
            return
        machine.collector.is_shelved = self._shelved.get(window.machine, False)
        hour = machine.hours.add(window)
        if hour is not None:
            now = self._around.clock()
            self._write(machine, machine.files.hours, partial(append_hour, hour=hour))
            self._write(machine, machine.files.hours, lambda _path: machine.remove_old_hours(now))
            machine.measure_drift(now)
        ring = self._around.rings.get(window.machine)
        if ring is not None and machine.is_bands_due(window):
            end = window.score.window_start + machine.rule.window_samples
            machine.add_bands(ring.cut(end - machine.bands_samples, end).to_float())
        changed = False
        for stretch in machine.collector.add(window):
            changed |= machine.sample.add(stretch, window.score.captured_at)
        if changed:
            self._write(machine, machine.files.sample, machine.sample.write)
            if machine.is_fit_due(self._around.clock()):
                self._extend(machine)
        if changed or machine.is_status_due(window.score.captured_at, STATUS_INTERVAL_S):
            self._report(machine)

    def _follow(self, window: ScoredWindow) -> FollowedMachine | None:
        """Return the machine of a window; None if its calibration is not continued."""
        name, model = window.machine, window.score.model
        known = self._machines.get(name)
        if model is None or (known is not None and known.model_sha256 == model.sha256):
            return known
        config, detector = self._around.config(), self._around.detector(name)
        if detector is None or detector.model.sha256 != model.sha256:
            return None
        settings = config.machines.get(name)
        if settings is None or not settings.source.is_live:
            return None
        if not config.learn_of(name).while_monitoring:
            return None
        files = CalibrationFiles(self._state.root, name)
        followed = FollowedMachine.begin(
            name, files, detector.model, model.target, config.alarm_of(name).false_alarms_per_month
        )
        if followed is not None:
            self._machines[name] = followed
            followed.measure_drift(self._around.clock())
            self._report(followed)
        return followed

    def _extend(self, machine: FollowedMachine) -> None:
        """Compute the limits again, put them on the disk, and use them between two windows."""
        now = self._around.clock()
        extension = fit_extension(machine.sample, machine.manifest, now)
        if extension is None:
            return
        before = machine.summary
        machine.use(extension, now)
        self._write(machine, machine.files.extension, extension.write)
        self._around.adjust(
            machine.name, Adjustment(machine.model_sha256, machine.rule, extension.calibration)
        )
        self._series.extensions.labels(machine.name).inc()
        text = describe_change(before, machine.summary)
        logger.info("%s: limits computed again from monitoring: %s", machine.name, text)
        try:
            self._around.record(machine.name, text)
        except AsdMonitorError as error:
            logger.warning("%s: the change cannot be recorded: %s", machine.name, error)

    def _write(self, machine: FollowedMachine, path: Path, write: Callable[[Path], None]) -> None:
        """Write a file; a failure is counted, logged once, and tried again with the next change."""
        try:
            write(path)
        except OSError as error:
            self._series.file_errors.inc()
            if path not in self._failing:
                self._failing.add(path)
                logger.warning(
                    "%s: %s cannot be written, so a restart would lose what was collected since: "
                    "%s", machine.name, path, error.strerror,
                )  # fmt: skip
        else:
            self._failing.discard(path)

    def _report(self, machine: FollowedMachine) -> None:
        supported, drift = supported_per_month(machine.rule), machine.drift
        self._series.sample.labels(machine.name).set(machine.sample.duration_s)
        if supported is not None:
            self._series.supported.labels(machine.name).set(supported)
        if drift is not None and drift.is_known:
            self._series.drift_scales.labels(machine.name).set(drift.scales)
            self._series.drift_db.labels(machine.name).set(drift.largest_db)
        status = CalibrationStatus(
            machine.name,
            machine.sample.duration_s,
            describe_progress(machine),
            machine.extension is not None,
            drift.sentence if drift is not None and drift.is_notable else "",
        )
        if status != machine.reported:
            machine.reported = status
            self._around.post(status)


def describe_progress(machine: FollowedMachine) -> str:
    """Return how much was collected and for what it is enough, in one sentence for the user."""
    asked = machine.false_alarms_per_month
    collected_s = machine.sample.duration_s
    text = f"{format_rough_duration(collected_s)} of normal sound collected"
    if not collected_s:
        text = "no normal sound collected while monitoring yet"
    supported, needed = supported_per_month(machine.rule), needed_s(machine.rule, asked)
    rate = "one false alarm" if asked == 1 else f"{asked:g} false alarms"
    if supported is None or needed is None:
        return text
    if supported <= asked:
        return f"{text}; that is enough for {rate} a month"
    return f"{text}; about {format_rough_duration(needed)} are needed for {rate} a month"
