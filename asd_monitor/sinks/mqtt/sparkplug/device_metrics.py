"""The metrics of a machine, and their values in records and in messages of the outbox.

They are named like the members of the JSON payloads where there is one.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from asd_monitor.outbox.rows import TopicKind
from asd_monitor.records import LearningProgress, MachineAlarm, Record, SourceHealth, Transition
from asd_monitor.sinks.mqtt.sparkplug.payload import DataType, Value

DEVICE_METRICS: dict[str, DataType] = {
    "name": DataType.STRING,
    "state": DataType.STRING,
    "reason": DataType.STRING,
    "rule": DataType.STRING,
    "event_id": DataType.STRING,
    "score": DataType.DOUBLE,
    "threshold": DataType.DOUBLE,
    "p_value": DataType.DOUBLE,
    "shift_s": DataType.DOUBLE,
    "verdict": DataType.STRING,
    "verdict_rule": DataType.STRING,
    "mode": DataType.STRING,
    "quality": DataType.STRING,
    "level_dbfs": DataType.DOUBLE,
    "window": DataType.INT64,
    "evidence": DataType.STRING,
    "alarm": DataType.STRING,
    "unacknowledged": DataType.INT64,
    "source/state": DataType.STRING,
    "source/reason": DataType.STRING,
    "source/lost_samples": DataType.INT64,
    "source/overflows": DataType.INT64,
    "source/reopens": DataType.INT64,
    "learning/learned_s": DataType.DOUBLE,
    "learning/required_s": DataType.DOUBLE,
}
"""Metrics of each machine, with their types."""

Values = dict[str, Value]

_SCORE_MEMBERS = (
    "score", "threshold", "p_value", "shift_s", "mode", "quality", "level_dbfs", "window",
)  # fmt: skip


def payload_values(topic: TopicKind, payload: Mapping[str, Any]) -> Values:
    """Return the values in a score, an event or its evidence, as in the outbox."""
    if topic == "evidence":
        return {"evidence": payload.get("headline")}
    if topic == "event":
        return {name: payload.get(name) for name in ("state", "reason", "rule", "event_id")}
    verdict = payload.get("verdict") or {}
    values: Values = {name: payload.get(name) for name in _SCORE_MEMBERS}
    values["verdict"], values["verdict_rule"] = verdict.get("word"), verdict.get("rule")
    return values


def payload_time_ms(payload: Mapping[str, Any]) -> int:
    """Return the time of a payload in milliseconds since the epoch."""
    return round(datetime.fromisoformat(payload["ts"]).timestamp() * 1000)


def record_values(record: Record) -> Values:
    """Return the values in a record that does not go through the outbox."""
    match record:
        case Transition():  # the state at the start
            return {
                "state": str(record.state),
                "reason": record.reason,
                "rule": record.rule,
                "event_id": record.event_id or None,
            }
        case SourceHealth():
            return {
                "source/state": str(record.state),
                "source/reason": record.reason,
                "source/lost_samples": record.lost_samples,
                "source/overflows": record.overflows,
                "source/reopens": record.reopens,
            }
        case MachineAlarm():
            return {"alarm": str(record.status), "unacknowledged": record.unacknowledged}
        case LearningProgress():
            return {
                "reason": record.reason,
                "learning/learned_s": record.learned_s,
                "learning/required_s": record.required_s,
            }
    return {}
