"""The summary of a run, printed when it ends."""

from typing import Any

from asd_monitor.records import State
from asd_monitor.telemetry.status import MachineStatus, MonitorStatus

_BY_SEVERITY = [
    State.NORMAL,
    State.OFF,
    State.LEARNING,
    State.UNKNOWN,
    State.WARNING,
    State.ALARM,
]


def summarise(
    status: MonitorStatus, started_at: float, mqtt_messages: int | None
) -> dict[str, Any]:
    """Return the result of a run: over all machines, and of each machine.

    Parameters
    ----------
    status
        The monitor's status at the end.
    started_at
        When monitoring began, in seconds since the epoch. The times of alarms are relative to it,
        or to the beginning of recordings that are older; negative for an alarm from before a
        restart.
    mqtt_messages
        Messages published; None if MQTT is off.
    """
    machines = {
        name: _machine_summary(machine, started_at) for name, machine in status.machines.items()
    }
    alarmed = [summary for summary in machines.values() if summary["raised_at_s"] is not None]
    cleared_s = [summary["cleared_at_s"] for summary in alarmed]
    states = [machine.final_state for machine in status.machines.values()]
    return {
        "raised_at_s": min((summary["raised_at_s"] for summary in alarmed), default=None),
        "cleared_at_s": max(cleared_s) if cleared_s and None not in cleared_s else None,
        "final_state": str(max(states, key=_BY_SEVERITY.index, default=State.UNKNOWN)),
        "windows": sum(machine.windows for machine in status.machines.values()),
        "lost_samples": sum(machine.lost_samples for machine in status.machines.values()),
        "mqtt_messages": mqtt_messages,
        "machines": machines,
    }


def _machine_summary(status: MachineStatus, started_at: float) -> dict[str, Any]:
    began_at = started_at if status.began_at is None else min(started_at, status.began_at)

    def seconds(at: float | None) -> float | None:
        return None if at is None else round(at - began_at, 3)

    evidence = status.evidence
    model = status.window.score.model if status.window is not None else None
    return {
        "final_state": str(status.final_state),
        "windows": status.windows,
        "scored": status.scored,
        "lost_samples": status.lost_samples,
        "alarms": status.alarms,
        "raised_at_s": seconds(status.raised_at),
        "cleared_at_s": seconds(status.cleared_at),
        "alarm_reason": status.alarm_reason,
        "warnings": status.warnings,
        "warning_s": round(status.warning_s, 3),
        "warning_reason": status.warning_reason,
        "event_id": evidence.event_id if evidence is not None else None,
        "headline": evidence.headline if evidence is not None else None,
        "clip": evidence.clip or None if evidence is not None else None,
        "highest_score": status.highest_score,
        "model_sha256": model.sha256 if model is not None else None,
    }
