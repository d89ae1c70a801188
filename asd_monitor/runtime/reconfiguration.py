"""Compare the settings of a running monitor with new ones, and use those that can change."""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from pydantic import BaseModel

from asd_monitor import model_file
from asd_monitor.config import Config
from asd_monitor.errors import AsdMonitorError
from asd_monitor.evidence.settings import EvidenceSettings, Keep
from asd_monitor.history.settings import HistorySettings
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.runtime.detectors import load_policy
from asd_monitor.runtime.machine_addition import (
    DESCRIPTIONS,
    PreparedMachines,
    RunningMachines,
    with_machines,
)
from asd_monitor.sinks import SINKS
from asd_monitor.sources.registry import SOURCES

logger = logging.getLogger(__name__)

RESTART_SECTIONS = ("node", "state_dir", "device", "runtime", "inference", "web")
"""Settings that are read at the start only."""
MODEL = ("model", "target")
"""Settings of a machine that say how it is scored."""
HISTORY, EVIDENCE = "history", "evidence"


@dataclass(slots=True)
class Differences:
    """What new settings change."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    exchanged: list[str] = field(default_factory=list)
    """Machines with another source or model, or another way of learning while they are learned."""
    judged: list[str] = field(default_factory=list)
    """Machines with other alarm settings."""
    learned: list[str] = field(default_factory=list)
    """Machines with other settings of learning, which have a model."""
    described: list[str] = field(default_factory=list)
    """Machines with another name, kind or place."""
    sinks: list[str] = field(default_factory=list)
    needs_restart: list[str] = field(default_factory=list)


def compare(old: Config, new: Config, is_scored: Callable[[str], bool]) -> Differences:
    """Return what differs between two configurations.

    Parameters
    ----------
    old
        The settings in use, as they were loaded.
    new
        The settings to use.
    is_scored
        Whether a machine has a model that its windows are scored with.
    """
    found = Differences(
        added=[name for name in new.machines if name not in old.machines],
        removed=[name for name in old.machines if name not in new.machines],
    )
    for name in new.machines:
        if name in old.machines:
            _compare_machine(old, new, name, found, is_scored=is_scored(name))
    for key in SINKS:
        if old.sinks.get(key) != new.sinks.get(key):
            needs_restart = _needs_restart(key, old.sinks.get(key), new.sinks.get(key))
            (found.needs_restart if needs_restart else found.sinks).append(key)
    found.needs_restart += [
        name for name in RESTART_SECTIONS if getattr(old, name) != getattr(new, name)
    ]
    return found


def _compare_machine(
    old: Config, new: Config, name: str, found: Differences, *, is_scored: bool
) -> None:
    before, after = old.machines[name], new.machines[name]
    is_judged = old.alarm_of(name) != new.alarm_of(name)
    is_learned = old.learn_of(name) != new.learn_of(name)
    is_other = any(getattr(before, key) != getattr(after, key) for key in (*SOURCES, *MODEL))
    if is_other or ((is_judged or is_learned) and not is_scored):
        found.exchanged.append(name)
    else:
        found.judged += [name] if is_judged else []
        found.learned += [name] if is_learned else []
    if any(getattr(before, key) != getattr(after, key) for key in DESCRIPTIONS):
        found.described.append(name)


def _needs_restart(key: str, old: BaseModel | None, new: BaseModel | None) -> bool:
    """Return whether a sink cannot be exchanged: other parts of the monitor depend on it."""
    if key == HISTORY:
        return old is None or new is None
    return key == EVIDENCE and _keeps_sound(old) != _keeps_sound(new)


def _keeps_sound(settings: BaseModel | None) -> bool:
    return isinstance(settings, EvidenceSettings) and settings.keep is not Keep.NONE


class Reconfiguration:
    """Use new settings in a running monitor.

    Parameters
    ----------
    machines
        The machines of the monitor; the caller holds their lock.
    history
        The history; None if it is off.
    new
        The new settings, which are valid.

    Attributes
    ----------
    differences
        What the new settings change.
    changes
        What was changed, one phrase each.
    problems
        What could not be changed, and why.
    """

    def __init__(
        self, machines: RunningMachines, history: HistoryWriter | None, new: Config
    ) -> None:
        self._machines = machines
        self._history = history
        self._new = new
        self.changes: list[str] = []
        self.problems: list[str] = []
        self.differences = compare(
            machines.loaded, new, lambda name: machines.builder.monitor.detector(name) is not None
        )

    def apply(self) -> None:
        """Prepare everything that can fail, then exchange what has changed.

        Raises
        ------
        AsdMonitorError
            If a part of the new settings cannot be used; nothing was changed then.
        """
        found = self.differences
        with ExitStack() as stack:
            if self._machines.loaded.models != self._new.models:
                self._check_models()
            names = [*found.added, *found.exchanged]
            prepared = self._machines.prepare(self._new, names) if names else None
            if prepared is not None:
                stack.callback(prepared.release)
            self._exchange_machines(prepared)
            self._exchange_sinks()
        self._take_sections()

    def _check_models(self) -> None:
        """Raise ModelFileError if a model in use could not be used with the new trusted keys."""
        state = self._machines.builder.state
        policy = load_policy(self._new, state)
        for machine, settings in self._new.machines.items():
            path = settings.model or state.model_path(machine)
            if path.exists():
                model_file.verify(path, policy)

    def _try(self, subject: str, phrase: str, action: Callable[[], object]) -> None:
        """Do a part; a failure is noted and does not prevent the others."""
        try:
            action()
        except AsdMonitorError as error:
            self.problems.append(f"{subject}: {error}" if subject not in str(error) else str(error))
        else:
            self.changes.append(phrase)

    def _exchange_machines(self, prepared: PreparedMachines | None) -> None:
        found, machines, new = self.differences, self._machines, self._new
        for name in found.removed:
            self._try(name, f"{name} removed", partial(machines.remove, name))
        if prepared is not None:
            for name in found.exchanged:
                exchange = partial(machines.exchange, prepared, name)
                self._try(name, f"{name} restarted", exchange)
            for name in found.added:
                self._try(name, f"{name} added", partial(machines.start, prepared, name))
        self._take_machine_settings()
        for name in found.judged:
            change = partial(machines.change_alarm, new, name)
            self._try(name, f"alarm of {name} changed", change)
        for name in found.learned:
            self.changes.append(f"learning of {name} changed")
            machines.begin_calibration(name)
        for name in found.described:
            if name not in found.exchanged:
                machines.describe(new, name)
                self.changes.append(f"description of {name} changed")

    def _take_machine_settings(self) -> None:
        """Take the settings of machines that are neither added nor exchanged."""
        found, machines, new = self.differences, self._machines, self._new
        taken = {name: new.machines[name] for name in {*found.judged, *found.learned}}
        machines.loaded = with_machines(machines.loaded, machines.loaded.machines | taken)
        pinned = {
            name: machines.config.machines[name].model_copy(
                update={"alarm": settings.alarm, "learn": settings.learn}
            )
            for name, settings in taken.items()
        }
        machines.config = with_machines(machines.config, machines.config.machines | pinned)
        sections: Mapping[str, object] = {
            key: getattr(new, key) for key in ("alarm", "learn", "models")
        }
        machines.config = machines.config.model_copy(update=sections)
        machines.loaded = machines.loaded.model_copy(update=sections)

    def _exchange_sinks(self) -> None:
        for key in self.differences.sinks:
            settings = self._new.sinks.get(key)
            if key == HISTORY and isinstance(settings, HistorySettings) and self._history:
                self._history.change_settings(settings)
                self.changes.append(f"{key} changed")
                continue
            phrase = f"{key} turned off" if settings is None else f"{key} restarted"
            self._try(key, phrase, partial(self._machines.exchange_sink, key, settings))

    def _take_sections(self) -> None:
        """Take all sections that are in use now; the others remain as they were."""
        machines, new = self._machines, self._new
        machines.needs_restart = tuple(self.differences.needs_restart)
        history = {HISTORY: getattr(new, HISTORY)} if HISTORY in self.differences.sinks else {}
        machines.config = machines.config.model_copy(update=history)
        machines.loaded = machines.loaded.model_copy(update=history)
