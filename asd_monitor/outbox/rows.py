"""A message of the outbox, its key, and its payload."""

import json
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Literal

IDS_PER_EPOCH_MS = 1 << 20
"""An epoch is the time of a start in milliseconds; its first id is this multiple of it, so that ids
increase over all starts, and a message's id is known before it is stored."""
_WINDOW_BITS, _MEMORY_LEVEL = -12, 5
_MAX_PAYLOAD_BYTES = 1_000_000

TopicKind = Literal["score", "event", "evidence"]


class Lane(IntEnum):
    """What is dropped first from a full outbox: the lowest."""

    SCORE = 0
    ALARM_SCORE = 1
    """A score of a warning or an alarm."""
    EVENT = 2


@dataclass(frozen=True, slots=True)
class Draft:
    """A message before it has a key."""

    lane: Lane
    topic: TopicKind
    machine: str
    payload: bytes
    """A JSON object, which has a member ``ts``."""


@dataclass(frozen=True, slots=True)
class Row:
    """A message of the outbox."""

    id: int
    epoch: int
    node: str
    lane: Lane
    topic: TopicKind
    machine: str
    payload: bytes
    """A JSON object without the key."""
    stored_ms: int
    steps_ms: int = 0
    """By how much the clock had been set since the start when the message was made."""
    epoch_steps_ms: int | None = None
    """By how much it was set in the whole epoch; None for the present epoch."""

    @property
    def seq(self) -> int:
        """Number of messages before this one in its epoch."""
        return self.id - first_id(self.epoch)

    def encode(self, *, replayed: bool, steps_ms: int) -> bytes:
        """Return the payload with its key.

        Parameters
        ----------
        replayed
            Whether newer messages may have been sent before.
        steps_ms
            By how much the clock has been set in the present epoch.
        """
        total_ms = steps_ms if self.epoch_steps_ms is None else self.epoch_steps_ms
        payload = shift_times(self.payload, total_ms - self.steps_ms)
        flag = b"true" if replayed else b"false"
        return b'%b,"epoch":%d,"seq":%d,"replayed":%b}' % (payload[:-1], self.epoch, self.seq, flag)


def first_id(epoch: int) -> int:
    """Return the id of the first message of an epoch."""
    return epoch * IDS_PER_EPOCH_MS


def next_epoch(last_epoch: int, last_id: int, now_ms: int) -> int:
    """Return an epoch whose ids are higher than all before, whatever the clock says."""
    return max(now_ms, last_epoch + 1, last_id // IDS_PER_EPOCH_MS + 1)


def shift_times(payload: bytes, step_ms: int) -> bytes:
    """Return a payload whose times are later by a step of the clock; as it is if it has none."""
    if not step_ms:
        return payload
    try:
        members = json.loads(payload)
        at = datetime.fromisoformat(members["ts"]) + timedelta(milliseconds=step_ms)
        text = at.astimezone(UTC).isoformat(timespec="milliseconds")
        members["ts"] = text.removesuffix("+00:00") + "Z"
        if "ts_ns" in members:
            members["ts_ns"] += step_ms * 1_000_000
    except (ValueError, KeyError, TypeError, OverflowError):
        return payload
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def compress(payload: bytes, template: bytes) -> bytes:
    """Return a payload compressed with an earlier one, of which most of it is a repetition."""
    compressor = zlib.compressobj(
        6, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL, zlib.Z_DEFAULT_STRATEGY, template
    )
    return compressor.compress(payload) + compressor.flush()


def decompress(data: bytes, template: bytes) -> bytes:
    """Return a payload that was compressed with this template; raise zlib.error if damaged."""
    decompressor = zlib.decompressobj(_WINDOW_BITS, template)
    payload = decompressor.decompress(data, _MAX_PAYLOAD_BYTES)
    if not decompressor.eof:
        raise zlib.error("the payload is incomplete")
    return payload
