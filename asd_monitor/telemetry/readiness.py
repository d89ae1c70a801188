"""Whether every machine is monitored or learned as intended, for supervision by other programs."""

from asd_monitor.records import SCORED_QUALITIES, SourceState, State
from asd_monitor.telemetry.status import MachineStatus, MonitorStatus

_DELIVERING = frozenset({SourceState.RUNNING, SourceState.ENDED})


def find_unready(status: MonitorStatus) -> dict[str, str]:
    """Return the machines that are neither scored nor learned as intended, each with the reason."""
    reasons = {name: _find_reason(machine) for name, machine in status.machines.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def describe_readiness(status: MonitorStatus) -> tuple[bool, str]:
    """Return whether the monitor is ready, and the text of the page that says so."""
    if not status.is_alive:
        return False, "the monitor does not consume audio\n"
    unready = find_unready(status)
    if unready:
        return False, "".join(f"{name}: {reason}\n" for name, reason in unready.items())
    return True, "ok\n"


def _find_reason(machine: MachineStatus) -> str:
    health, learning, window = machine.health, machine.learning, machine.window
    if health is None:
        return "its source is not open yet"
    if health.state not in _DELIVERING:
        return f"its source is {health.state}" + (f": {health.reason}" if health.reason else "")
    if machine.state is State.LEARNING:
        return "" if learning is None else learning.problem
    if window is None:
        return health.reason or machine.reason or "no window was scored yet"
    if window.score.quality not in SCORED_QUALITIES or window.score.value is None:
        return machine.reason or f"its sound is not scored: {window.score.quality}"
    return ""
