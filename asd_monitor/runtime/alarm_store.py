"""Keep the alarm of each machine in the state folder, so that a restart continues it."""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asd_monitor.config import Config
from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_memory import AlarmMemory
from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.archive import write_atomically
from asd_monitor.records import (
    MachineRemoved,
    Record,
    ScoredWindow,
    SourceHealth,
    SourceState,
    State,
    Transition,
)
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector

logger = logging.getLogger(__name__)

WRITE_INTERVAL_S = 10.0
"""Between changes of state, changed evidence is written at most this often."""
REFRESH_INTERVAL_S = 60.0
"""While an alarm is active, its file is written at least this often."""
MAX_EVIDENCE_AGE_S = 120.0
"""The sound before a longer interruption says nothing about the sound after it."""
MAX_ALARM_AGE_S = 7 * 86_400.0
"""An alarm is not continued if nothing was monitored for longer."""
CLOSE_TIMEOUT_S = 3.0


class ModelIdentity(BaseModel):
    """What an alarm was judged by: an alarm of another model is not continued."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    target: str


class StoredAlarm(BaseModel):
    """Content of the file of a machine. Unknown members are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    written_at: float = Field(allow_inf_nan=False)
    """In seconds since the epoch."""
    model: ModelIdentity
    memory: AlarmMemory
    event_id: str = ""
    """The open event of the machine; empty if there is none."""

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a file; None where there is none.

        Raises
        ------
        ValueError
            If the file is damaged or of another version.
        OSError
            If it cannot be read.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        return cls.model_validate(json.loads(content))

    def write(self, path: Path) -> None:
        """Replace the file atomically; raise ModelFileError or OSError on failure."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self.model_dump_json().encode())


def resume_alarms(
    config: Config, state: StateFolder, detectors: Mapping[str, "Detector"], metrics: Metrics
) -> "AlarmStore":
    """Build the alarms of all machines, and continue those from before a restart.

    Machines that are learned first, and recordings that are played once, have nothing to continue.
    """
    run_id = uuid.uuid4().hex[:12]
    alarms = {name: Alarm(name, config.alarm_of(name), run_id) for name in config.machines}
    models = {
        name: ModelIdentity(sha256=detector.model.sha256, target=detector.rule(name).target)
        for name, detector in detectors.items()
    }
    endless = [name for name, machine in config.machines.items() if machine.source.is_endless]
    store = AlarmStore({name: state.alarm_path(name) for name in endless}, alarms, models, metrics)
    for name in endless:
        store.resume(name)
    return store


def _set_aside(path: Path) -> str:
    """Rename a damaged file, and return where it is now."""
    damaged = path.with_suffix(".damaged")
    try:
        path.replace(damaged)
    except OSError:
        return f"{path}:"
    return f"{path} was moved to {damaged.name}:"


def _describe(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)


def _log_forgotten(machine: str, stored: StoredAlarm, reason: str) -> None:
    standing = stored.memory.standing
    if standing is not None:
        logger.warning(
            "%s: the %s from before the restart is not continued: %s",
            machine, standing.state, reason,
        )  # fmt: skip


class AlarmStore:
    """A sink that writes the alarm of each machine to a file, in a separate thread.

    A change of state is written at once, changed evidence every ten seconds. A failure is logged,
    counted, and tried again with the next change.

    Parameters
    ----------
    paths
        File of each machine; records of other machines are ignored.
    alarms
        The alarm of each of these machines, read when a record is emitted.
    models
        The models that the machines start with. Later ones are taken from the scores.
    metrics
        Counts failures.
    clock
        Seconds since the epoch.
    monotonic
        Clock that never jumps, in seconds.

    Attributes
    ----------
    alarms
        As given.
    open_events
        The open event of each machine whose alarm was continued.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        alarms: Mapping[str, Alarm],
        models: Mapping[str, ModelIdentity],
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = dict(paths)
        self.alarms = dict(alarms)
        self.open_events: dict[str, str] = {}
        self._models = dict(models)
        self._metrics = metrics
        self._clock = clock
        self._monotonic = monotonic
        self._ended: set[str] = set()
        self._states: dict[str, State] = {}
        self._event_ids: dict[str, str] = {}
        self._queued: dict[str, tuple[tuple[AlarmMemory, str], float]] = {}  # newest, when
        self._condition = threading.Condition()  # guards the next two
        self._waiting: dict[str, tuple[Path, StoredAlarm | None]] = {}
        self._closing = False
        self._failing = False
        self._thread: threading.Thread | None = None

    def add(self, machine: str, alarm: Alarm, path: Path, model: ModelIdentity | None) -> None:
        """Add a machine to a running monitor, before its first record, and continue its alarm.

        Parameters
        ----------
        machine
            Name of the machine.
        alarm
            Its alarm.
        path
            Its file.
        model
            The model that it starts with; None while it is learned.
        """
        self.alarms[machine] = alarm
        if model is not None:
            self._models[machine] = model
        self._paths[machine] = path
        self.resume(machine)

    def exchange(self, machine: str, alarm: Alarm, model: ModelIdentity | None) -> None:
        """Continue the alarm of a machine that is monitored with other settings.

        To be called between its last record and the first one with the new settings; the parameters
        are as for :meth:`add`. The alarm of another model is not continued.
        """
        earlier, earlier_model = self.alarms[machine], self._models.get(machine)
        if model is not None and model == earlier_model:
            alarm.resume(earlier.memory, is_recent=True)
        self.alarms[machine] = alarm
        if model is not None:
            self._models[machine] = model
        self._queued.pop(machine, None)
        self._ended.discard(machine)

    def resume(self, machine: str) -> None:
        """Continue the alarm of a machine from its file, if it still applies.

        A file that cannot be used is renamed, logged and counted.
        """
        path, model = self._paths[machine], self._models.get(machine)
        if model is None:
            return
        try:
            stored = StoredAlarm.read(path)
        except (OSError, ValueError, RecursionError) as error:
            self._metrics.alarm_file_errors.labels("read").inc()
            logger.warning(
                "%s: an alarm from before the restart cannot be continued: %s %s",
                machine, _set_aside(path), _describe(error),
            )  # fmt: skip
            return
        if stored is None:
            return
        age_s = self._clock() - stored.written_at
        if stored.model != model:
            _log_forgotten(machine, stored, "the model has changed")
        elif age_s > MAX_ALARM_AGE_S:
            days = age_s / 86_400
            _log_forgotten(machine, stored, f"nothing was monitored for {days:.0f} days")
        else:
            is_recent = 0 <= age_s <= MAX_EVIDENCE_AGE_S
            self.alarms[machine].resume(stored.memory, is_recent=is_recent)
            if stored.event_id:
                self.open_events[machine] = stored.event_id

    def open(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="alarm-store", daemon=True)
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Queue the machine's alarm if it is to be written; returns at once."""
        machine = record.machine
        is_last = isinstance(record, MachineRemoved)
        if machine not in self._paths or (machine in self._ended and not is_last):
            return
        match record:
            case SourceHealth(state=SourceState.CLOSED):
                self._ended.add(machine)  # that the monitor stops is no change of the machine
            case ScoredWindow():
                if record.score.model is not None:
                    model = record.score.model
                    self._models[machine] = ModelIdentity(sha256=model.sha256, target=model.target)
                if record.decision.state is self._states.get(machine):
                    self._queue_if_due(machine, WRITE_INTERVAL_S)
            case Transition():
                self._states[machine] = record.state  # follows the window that caused it
                self._event_ids[machine] = "" if record.closes_event else record.event_id
                self._queue_if_due(machine, 0.0)
            case MachineRemoved():
                self._forget(machine)

    def _forget(self, machine: str) -> None:
        """Delete the file of a machine that was removed: its alarm is not continued."""
        for kept in (self._states, self._event_ids, self._queued, self._models):
            kept.pop(machine, None)
        self._ended.discard(machine)
        self.alarms.pop(machine, None)
        self.open_events.pop(machine, None)
        with self._condition:
            self._waiting[machine] = self._paths.pop(machine), None
            self._condition.notify()

    def _queue_if_due(self, machine: str, interval_s: float) -> None:
        queued, queued_at = self._queued.get(machine, (None, float("-inf")))
        since_s = self._monotonic() - queued_at
        if since_s < interval_s or machine not in self._models:
            return
        newest = self.alarms[machine].memory
        event_id = self._event_ids.get(machine, "")
        refresh = newest.standing is not None and since_s >= REFRESH_INTERVAL_S
        if newest.state is State.LEARNING or (queued == (newest, event_id) and not refresh):
            return
        self._queued[machine] = (newest, event_id), self._monotonic()
        stored = StoredAlarm(
            written_at=self._clock(),
            model=self._models[machine],
            memory=newest,
            event_id=event_id,
        )
        with self._condition:
            self._waiting[machine] = self._paths[machine], stored
            self._condition.notify()

    def close(self) -> None:
        """Write what waits; may be called twice."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: bool(self._waiting) or self._closing)
                if not self._waiting:
                    return
                waiting, self._waiting = self._waiting, {}
            for machine, (path, stored) in waiting.items():
                self._write(machine, path, stored)

    def _write(self, machine: str, path: Path, stored: StoredAlarm | None) -> None:
        """Write an alarm, or delete its file if there is none any more."""
        try:
            if stored is None:
                path.unlink(missing_ok=True)
            else:
                stored.write(path)
        except (OSError, ModelFileError) as error:
            self._metrics.alarm_file_errors.labels("write").inc()
            if not self._failing:
                logger.warning("%s: a restart would not continue its alarm: %s", machine, error)
            self._failing = True
        else:
            self._failing = False
