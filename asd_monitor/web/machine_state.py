"""The state of a machine as JSON, for the API and for live data."""

from dataclasses import fields
from typing import Any

from asd_monitor.records import (
    EvidenceReady,
    LearningProgress,
    MachineAlarm,
    ModelInfo,
    ScoredWindow,
    SourceHealth,
    Transition,
    Verdict,
)
from asd_monitor.telemetry.status import MachineStatus

VERDICT_FIELDS = tuple(field.name for field in fields(Verdict))


def describe_machine(
    id_: str, name: str, machine: MachineStatus, since_s: float | None, event_id: str
) -> dict[str, Any]:
    """Return the full state of a machine.

    Parameters
    ----------
    id_, name
        Its id and display name.
    machine
        Its newest records.
    since_s
        When its state began, in seconds since the epoch; None if that is not known.
    event_id
        Its open event; empty if there is none.
    """
    window, model = machine.window, None
    if window is not None and window.score.model is not None:
        model = describe_model(window.score.model)
    return {
        "id": id_,
        "name": name,
        "state": str(machine.state),
        "since": since_s,
        "reason": machine.reason,
        "event_id": event_id,
        "score": describe_score(window) if window is not None and machine.is_current else None,
        "sound": None if machine.health is None else describe_sound(machine.health),
        "learning": None if machine.learning is None else describe_learning(machine.learning),
        "model": model,
        "alarm": None if machine.alarm is None else describe_alarm(machine.alarm),
    }


def describe_score(window: ScoredWindow) -> dict[str, Any]:
    """Return the score of a window with its limits and its verdict."""
    score, decision = window.score, window.decision
    return {
        "machine": window.machine,
        "at": score.captured_at,
        "score": score.value,
        "p_value": score.p_value,
        "threshold": score.threshold,
        "normal_range": window.decision.normal_range,
        "shift_s": decision.shift_s,
        "level_dbfs": score.level_dbfs,
        "quality": str(score.quality),
        "verdict": describe_verdict(decision.verdict),
        "mode": decision.mode,
        "state": str(decision.state),
        "reason": decision.reason,
    }


def describe_verdict(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict; not by ``asdict``, which takes as long as the rest of a score."""
    return {name: getattr(verdict, name) for name in VERDICT_FIELDS}


def describe_transition(transition: Transition) -> dict[str, Any]:
    """Return a change of state."""
    return {
        "machine": transition.machine,
        "state": str(transition.state),
        "previous": str(transition.previous),
        "since": transition.captured_at,
        "reason": transition.reason,
        "rule": transition.rule,
        "event_id": "" if transition.closes_event else transition.event_id,
        "closed_event_id": transition.event_id if transition.closes_event else "",
    }


def describe_sound(health: SourceHealth) -> dict[str, Any]:
    """Return the health of a machine's source."""
    return {
        "machine": health.machine,
        "state": str(health.state),
        "reason": health.reason,
        "device": health.device,
        "lost_samples": health.lost_samples,
        "last_audio_at": health.last_audio_at,
    }


def describe_learning(progress: LearningProgress) -> dict[str, Any]:
    """Return the progress of learning."""
    return {
        "machine": progress.machine,
        "learned_s": progress.learned_s,
        "required_s": progress.required_s,
        "fitting": progress.fitting,
        "reason": progress.reason,
    }


def describe_model(model: ModelInfo) -> dict[str, Any]:
    """Return what is known of a model."""
    return {
        "name": model.name,
        "revision": model.revision,
        "sha256": model.sha256,
        "calibration_windows": model.calibration_windows,
        "provisional": model.provisional,
        "window_s": model.window_samples / model.sample_rate_hz,
    }


def describe_evidence(evidence: EvidenceReady) -> dict[str, Any]:
    """Return what was found about an event; its files have URLs of their own."""
    return {
        "machine": evidence.machine,
        "event_id": evidence.event_id,
        "at": evidence.at,
        "headline": evidence.headline,
        "url": f"/events/{evidence.event_id}",
    }


def describe_alarm(alarm: MachineAlarm) -> dict[str, Any]:
    """Return what people did about the events of a machine."""
    return {
        "machine": alarm.machine,
        "status": str(alarm.status),
        "at": alarm.at,
        "event_id": alarm.event_id,
        "unacknowledged": alarm.unacknowledged,
        "verdict": alarm.verdict,
        "until": alarm.until_s,
        "who": alarm.who,
        "comment": alarm.comment,
    }
