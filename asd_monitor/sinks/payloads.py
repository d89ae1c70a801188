"""Encode records as versioned JSON, for MQTT and for score files.

Over MQTT scores, events and evidence also have a key, which the outbox adds.
Payloads have ``"schema": 2``; ``docs/schemas/`` describes them. Numbers are finite or null.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from asd_monitor.records import (
    EvidenceReady,
    LearningProgress,
    Limit,
    MachineAlarm,
    ModelInfo,
    ScoredWindow,
    SourceHealth,
    State,
    Transition,
    Verdict,
)

SCHEMA_VERSION = 2

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

Names = Mapping[str, str]
"""Names of machines for people, by id; a machine that is missing is named by its id."""
NO_NAMES: Names = MappingProxyType({})

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class MachineState:
    """The current state of a machine: its last transition, and the progress of learning."""

    machine: str
    state: State
    previous: State | None
    since: float
    """When the state began, in seconds since the epoch."""
    reason: str
    provisional: bool
    event_id: str | None
    """The open event of the machine; None if there is none."""
    learning: LearningProgress | None = None


def encode(payload: dict[str, Json]) -> bytes:
    """Return compact UTF-8 JSON; raise ValueError for NaN and infinities.

    Bytes that are not UTF-8 in the name of a recording become question marks.
    """
    return _ENCODER.encode(payload).encode(errors="replace")


def rfc3339(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def score_payload(
    window: ScoredWindow, node: str, now: float, names: Names = NO_NAMES
) -> dict[str, Json]:
    """Return the result of a window; its latency is computed from ``now`` (s since the epoch).

    Recordings that are read faster than real time have no latency.
    """
    score, decision = window.score, window.decision
    model = score.model
    rate_hz = model.sample_rate_hz if model is not None else None
    latency_ms = (now - score.captured_at) * 1e3
    return {
        **_head(score.machine, node, score.captured_at, names),
        "ts_ns": round(score.captured_at * 1e9),
        "window_s": model.window_samples / rate_hz if model and rate_hz else None,
        "hop_s": model.hop_samples / rate_hz if model and rate_hz else None,
        "window": score.seq,
        "score": _finite(score.value),
        "p_value": _finite(score.p_value),
        "extrapolated": score.extrapolated,
        "threshold": _finite(score.threshold),
        "shift_s": _finite(decision.shift_s, digits=3),
        "state": str(decision.state),
        "mode": decision.mode or None,
        "rule": decision.rule,
        "verdict": _verdict(decision.verdict),
        "limits": [_limit(limit) for limit in decision.limits],
        "quality": str(score.quality),
        "level_dbfs": _finite(score.level_dbfs, digits=2),
        "lost_samples": score.lost_samples,
        "recording": score.recording or None,
        "model": _model(model) if model is not None else None,
        "latency_ms": _finite(latency_ms, digits=3) if window.is_live and latency_ms >= 0 else None,
        "inference_ms": _finite(score.inference_s * 1e3, digits=3),
    }


def event_payload(transition: Transition, node: str, names: Names = NO_NAMES) -> dict[str, Json]:
    """Return a change of state; ``transition_id`` identifies duplicates."""
    score = transition.score
    return {
        **_head(transition.machine, node, transition.captured_at, names),
        "transition_id": transition.transition_id,
        "event_id": transition.event_id or None,
        "state": str(transition.state),
        "previous": str(transition.previous),
        "reason": transition.reason,
        "rule": transition.rule,
        "limit": _finite(transition.limit),
        "provisional": transition.provisional,
        "window": score.seq if score is not None else None,
        "score": _finite(score.value) if score is not None else None,
        "p_value": _finite(score.p_value) if score is not None else None,
        "threshold": _finite(score.threshold) if score is not None else None,
        "model": _model(score.model) if score is not None and score.model is not None else None,
    }


def evidence_payload(
    evidence: EvidenceReady, node: str, names: Names = NO_NAMES
) -> dict[str, Json]:
    """Return what changed in the sound of an event; the files themselves are on the monitor."""
    return {
        **_head(evidence.machine, node, evidence.at, names),
        "event_id": evidence.event_id,
        "headline": evidence.headline,
        "bands": [
            {
                "low_hz": _finite(band.low_hz),
                "high_hz": _finite(band.high_hz),
                "change_db": _finite(band.change_db),
                "from_s": _finite(band.from_s),
                "to_s": _finite(band.to_s),
            }
            for band in evidence.bands
        ],
        "has_picture": bool(evidence.picture),
        "clip_s": _finite(evidence.clip_s, digits=3) if evidence.clip else None,
        "url": evidence.url or None,
        "final": evidence.is_final,
    }


def state_payload(
    state: MachineState, node: str, now: float, names: Names = NO_NAMES
) -> dict[str, Json]:
    """Return the current state of a machine, with the progress of learning."""
    learning = state.learning
    progress: Json = None
    if learning is not None:
        progress = {
            "learned_s": _finite(learning.learned_s, digits=3),
            "required_s": _finite(learning.required_s, digits=3),
            "fitting": learning.fitting,
            "problem": learning.problem or None,
            "rejected_s": {
                str(reason): round(seconds, 3) for reason, seconds in learning.rejected_s.items()
            },
        }
    return {
        **_head(state.machine, node, now, names),
        "state": str(state.state),
        "previous": str(state.previous) if state.previous is not None else None,
        "since": rfc3339(state.since),
        "reason": state.reason,
        "provisional": state.provisional,
        "event_id": state.event_id,
        "learning": progress,
    }


def health_payload(
    health: SourceHealth, node: str, now: float, names: Names = NO_NAMES
) -> dict[str, Json]:
    """Return the health of a machine's source."""
    last_audio_at = health.last_audio_at
    return {
        **_head(health.machine, node, now, names),
        "state": str(health.state),
        "reason": health.reason,
        "device": health.device,
        "samples": health.samples,
        "lost_samples": health.lost_samples,
        "overflows": health.overflows,
        "reopens": health.reopens,
        "last_audio": rfc3339(last_audio_at) if last_audio_at is not None else None,
        "measured_rate_hz": _finite(health.measured_rate_hz),
        "rate_hz": health.rate_hz,
        "clock_unsynced": health.clock_unsynced,
    }


def alarm_payload(
    alarm: MachineAlarm, node: str, now: float, names: Names = NO_NAMES
) -> dict[str, Json]:
    """Return what people did about the events of a machine."""
    return {
        **_head(alarm.machine, node, now, names),
        "status": str(alarm.status),
        "since": rfc3339(min(alarm.at, now)),
        "event_id": alarm.event_id or None,
        "unacknowledged": alarm.unacknowledged,
        "verdict": alarm.verdict or None,
        "until": None if alarm.until_s is None else rfc3339(alarm.until_s),
        "who": alarm.who,
        "comment": alarm.comment,
    }


def _head(machine: str, node: str, at: float, names: Names) -> dict[str, Json]:
    return {
        "schema": SCHEMA_VERSION,
        "machine": machine,
        "name": names.get(machine, machine),
        "node": node,
        "ts": rfc3339(at),
    }


def _verdict(verdict: Verdict) -> dict[str, Json]:
    return {
        "word": verdict.word,
        "rule": verdict.rule,
        "limit": _finite(verdict.limit),
        "sentence": verdict.sentence,
    }


def _limit(limit: Limit) -> dict[str, Json]:
    return {"rule": limit.rule, "name": limit.name, "value": limit.value}


def _model(model: ModelInfo) -> dict[str, Json]:
    return {
        "name": model.name,
        "revision": model.revision,
        "sha256": model.sha256,
        "target": model.target,
        "calibration_windows": model.calibration_windows,
        "provisional": model.provisional,
    }


def _finite(value: float | None, digits: int | None = None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    # float(), because JSON does not encode numpy scalars
    return float(value) if digits is None else round(float(value), digits)
