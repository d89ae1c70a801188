"""Records and columns of a spectrogram as messages of the stream of live data."""

from binascii import b2a_base64
from collections.abc import Iterable
from typing import Any

import pydantic_core

from asd_monitor.normal_sound.band_levels import MIN_FREQUENCY_HZ
from asd_monitor.records import (
    EvidenceReady,
    LearningProgress,
    MachineAlarm,
    MachineRemoved,
    Record,
    ScoredWindow,
    SourceHealth,
    Transition,
)
from asd_monitor.web import machine_state
from asd_monitor.web.spectrum import COLUMNS_PER_S, Columns


def to_json(content: dict[str, Any]) -> bytes:
    """Return content as JSON, in half the time that the standard library takes."""
    return pydantic_core.to_json(content, inf_nan_mode="null")


def describe(record: Record) -> tuple[bytes, dict[str, Any]] | None:
    """Return the name and the content of a record's message; None if it has none."""
    match record:
        case ScoredWindow():
            return b"score", machine_state.describe_score(record)
        case Transition():
            return b"state", machine_state.describe_transition(record)
        case SourceHealth():
            return b"health", machine_state.describe_sound(record)
        case LearningProgress():
            return b"learning", machine_state.describe_learning(record)
        case EvidenceReady():
            return b"event", machine_state.describe_evidence(record)
        case MachineAlarm():
            return b"alarm", machine_state.describe_alarm(record)
        case MachineRemoved():
            return b"removed", {"machine": record.machine}
        case _:
            return None  # changes slowly: a page shows it when it is loaded


def encode(name: bytes, content: bytes) -> bytes:
    """Return a message whose content is JSON."""
    return b"event: %b\ndata: %b\n\n" % (name, content)


def encode_scores(scores: Iterable[bytes]) -> bytes:
    """Return one message for the scores of several machines, each in JSON."""
    return encode(b"scores", b'{"scores":[%b]}' % b",".join(scores))


def encode_columns(machine: str, columns: Columns, *, is_past: bool = False) -> bytes:
    """Return the message for columns of a machine's spectrogram."""
    content = {
        "machine": machine,
        "is_past": is_past,
        "columns_per_s": COLUMNS_PER_S,
        "low_hz": MIN_FREQUENCY_HZ,
        "high_hz": columns.sample_rate_hz / 2,
        "data": b2a_base64(columns.values.tobytes(), newline=False).decode(),
    }
    return encode(b"columns", to_json(content))
