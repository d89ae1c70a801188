"""Follow what people do, in this process or another one, and report it to the sinks."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace

from asd_monitor.errors import AsdMonitorError
from asd_monitor.history.records import VERDICT_KINDS, AuditEntry
from asd_monitor.judging.alarm_status import read_alarm
from asd_monitor.judging.calibration_reset import RESET_CALIBRATION
from asd_monitor.judging.commands import Command, Refusal, execute
from asd_monitor.judging.feedback import update_recordings
from asd_monitor.judging.mode_names import NAME_MODE
from asd_monitor.judging.store import JudgingStore
from asd_monitor.records import (
    EvidenceReady,
    MachineAlarm,
    MachineRemoved,
    Record,
    Transition,
)
from asd_monitor.telemetry.judging_series import JudgingSeries

logger = logging.getLogger(__name__)

POLL_INTERVAL_S = 1.0
MAX_COMMANDS = 100
CLOSE_TIMEOUT_S = 3.0
MODEL_ACTIONS = frozenset({"refit", "undo-refit", "calibrate", RESET_CALIBRATION})
"""Actions after which a machine has another model file, or other limits."""


class AlarmWatch:
    """A sink that finds the alarm of each machine in a thread of its own, and emits changes.

    The thread asks the history once a second whether a person did something, which takes some
    microseconds, and at once after a change of state.

    Parameters
    ----------
    store
        The history.
    machines
        Ids of the machines; it may grow.
    post
        Hands a :class:`MachineAlarm` to all sinks.
    series
        Where verdicts and commands are counted.
    install
        Called with a machine whose model file was replaced, from the thread.
    name_modes
        Called with a machine whose modes have other names, from the thread.
    """

    def __init__(
        self,
        store: JudgingStore,
        machines: Collection[str],
        post: Callable[[Record], None],
        series: JudgingSeries,
        install: Callable[[str], None] = lambda _machine: None,
        name_modes: Callable[[str], None] = lambda _machine: None,
    ) -> None:
        self._store = store
        self._machines = machines
        self._post = post
        self._series = series
        self._install = install
        self._name_modes = name_modes
        self._condition = threading.Condition()  # guards the next five
        self._open_events: dict[str, str] = {}
        self._changed: set[str] = set()
        self._removed: set[str] = set()
        self._commands = deque[Command | Refusal]()
        self._closing = False
        self._alarms: dict[str, MachineAlarm] = {}
        self._version: tuple[int, ...] = ()
        self._last_audit: int | None = None
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="judging", daemon=True)

    def open(self) -> None:
        """Start the thread."""
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Note a change of state, or that an event has a clip; returns at once."""
        if isinstance(record, Transition):
            event_id = "" if record.closes_event else record.event_id
            with self._condition:
                if self._open_events.get(record.machine) != event_id:
                    self._open_events[record.machine] = event_id
                    self._changed.add(record.machine)
                    self._condition.notify()
        elif isinstance(record, MachineRemoved):
            with self._condition:
                self._open_events.pop(record.machine, None)
                self._removed.add(record.machine)
        elif isinstance(record, EvidenceReady) and record.clip:
            with self._condition:
                self._changed.add(record.machine)
                self._condition.notify()

    def submit(self, command: Command | Refusal) -> bool:
        """Do, or record, a command soon; return False if too many wait. From any thread."""
        with self._condition:
            if self._closing or len(self._commands) >= MAX_COMMANDS:
                return False
            self._commands.append(command)
            self._condition.notify()
        return True

    def close(self) -> None:
        """End the thread, after the commands that wait; may be called twice."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(self._has_work, POLL_INTERVAL_S)
                commands, self._commands = self._commands, deque()
                changed, self._changed = self._changed, set()
                removed, self._removed = self._removed, set()
                closing = self._closing
            for machine in removed:
                self._alarms.pop(machine, None)
            for command in commands:
                self._execute(command)
            try:
                self._update(changed)
                self._problem = ""
            except (AsdMonitorError, OSError) as error:
                if str(error) != self._problem:
                    self._problem = str(error)
                    logger.warning("acknowledgements cannot be read: %s", error)
                with self._condition:
                    self._changed |= changed
                if self._wait_before_retry():
                    return
            except Exception:  # the thread's top: a fault here must not end it
                logger.exception("acknowledgements cannot be read")
            if closing:
                return

    def _has_work(self) -> bool:
        return self._closing or bool(self._changed) or bool(self._commands)

    def _wait_before_retry(self) -> bool:
        with self._condition:
            return self._condition.wait_for(lambda: self._closing, POLL_INTERVAL_S)

    def _update(self, changed: set[str]) -> None:
        """Read what is new, and emit the alarms that differ."""
        reader, now = self._store.reader, self._store.clock()
        version = reader.judging_version()
        for machine in changed:
            update_recordings(self._store, machine)
        if version != self._version:
            self._count(version[-1])
            changed = set(self._machines)
        else:
            changed |= {machine for machine, alarm in self._alarms.items() if _is_over(alarm, now)}
        for machine in changed & set(self._machines):
            alarm = read_alarm(reader, machine, now, self._open_events.get(machine))
            known = self._alarms.get(machine)
            if known is None or replace(alarm, at=known.at) != known:
                self._alarms[machine] = alarm
                self._post(alarm)
        self._version = version

    def _count(self, last_audit: int) -> None:
        """Count the verdicts that are new, and install models that were replaced."""
        if self._last_audit is not None:
            for entry in self._store.reader.audit(last_audit - self._last_audit):
                self._process(entry)
        self._last_audit = last_audit

    def _process(self, entry: AuditEntry) -> None:
        if not entry.accepted or entry.machine not in self._machines:
            return
        if entry.action in VERDICT_KINDS:
            self._series.verdicts.labels(entry.action).inc()
        if entry.action in MODEL_ACTIONS:
            self._install(entry.machine)
        elif entry.action == NAME_MODE:
            self._name_modes(entry.machine)

    def _execute(self, command: Command | Refusal) -> None:
        if isinstance(command, Refusal):
            self._refuse(command.machine, command.reason)
            return
        message = command.message
        try:
            outcome = execute(self._store, command, "mqtt")
        except AsdMonitorError as error:
            self._refuse(command.machine, str(error), message.do, message.who)
            return
        self._series.commands.labels("accepted").inc()
        logger.info("%s: command %s by %s: %s", command.machine, message.do, message.who,
                    outcome.message)  # fmt: skip

    def _refuse(self, machine: str, reason: str, action: str = "", who: str = "") -> None:
        """Count and record a command that was refused."""
        self._series.commands.labels("refused").inc()
        logger.warning("%s: a command was refused: %s", machine, reason)
        entry = AuditEntry(
            self._store.clock(), who, "mqtt", action, machine, accepted=False, text=reason
        )
        try:
            self._store.add_audit(entry)
        except AsdMonitorError as error:
            logger.warning("%s: the refused command cannot be recorded: %s", machine, error)


def _is_over(alarm: MachineAlarm, now: float) -> bool:
    return alarm.until_s is not None and alarm.until_s <= now
