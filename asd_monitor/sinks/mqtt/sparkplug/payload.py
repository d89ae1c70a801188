"""Encode and decode the payloads of Sparkplug B."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from asd_monitor.sinks.mqtt.sparkplug.schema import payload_class

Value = bool | int | float | str | None


class DataType(IntEnum):
    """Types of metrics, with their numbers in the specification; those that are used here."""

    INT32 = 3
    INT64 = 4
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12


class MetricQuality(IntEnum):
    """Quality of a value, with its number in the specification."""

    BAD = 0
    GOOD = 192
    STALE = 500


_FIELDS = {
    DataType.INT32: "int_value",
    DataType.INT64: "long_value",
    DataType.DOUBLE: "double_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
}
_INTEGER_BITS = {DataType.INT32: 32, DataType.INT64: 64}


@dataclass(frozen=True, slots=True)
class Metric:
    """A value with its time."""

    name: str
    """Empty in data after a birth, where the alias identifies the metric."""
    data_type: DataType
    value: Value
    """None: there is no value."""
    at_ms: int | None = None
    """Time of the value, in milliseconds since the epoch."""
    alias: int | None = None
    """Number that identifies the metric after the birth that gives it a name."""
    is_historical: bool = False
    """Whether newer values may have been sent before."""
    quality: MetricQuality | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """The content of a message."""

    metrics: Sequence[Metric]
    at_ms: int | None = None
    """When it was sent, in milliseconds since the epoch."""
    seq: int | None = None
    """Number of the message, from 0 to 255."""


def encode_payload(payload: Payload) -> bytes:
    """Return a payload as bytes.

    Raises
    ------
    SinkError
        If ``protobuf`` is not installed.
    """
    message = payload_class()()
    if payload.at_ms is not None:
        message.timestamp = payload.at_ms
    if payload.seq is not None:
        message.seq = payload.seq
    for metric in payload.metrics:
        _fill(message.metrics.add(), metric)
    encoded: bytes = message.SerializeToString()
    return encoded


def _fill(field: Any, metric: Metric) -> None:  # noqa: ANN401 - protobuf is untyped
    if metric.name:
        field.name = metric.name
    if metric.alias is not None:
        field.alias = metric.alias
    if metric.at_ms is not None:
        field.timestamp = metric.at_ms
    field.datatype = metric.data_type
    if metric.is_historical:
        field.is_historical = True
    if metric.quality is not None:
        field.properties.keys.append("Quality")
        field.properties.values.add(type=DataType.INT32, int_value=metric.quality)
    if metric.value is None:
        field.is_null = True
    else:
        setattr(field, _FIELDS[metric.data_type], _to_wire(metric.value, metric.data_type))


def _to_wire(value: bool | int | float | str, data_type: DataType) -> bool | int | float | str:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    bits = _INTEGER_BITS.get(data_type)
    return value if bits is None else int(value) % (1 << bits)  # negative: two's complement


def decode_payload(data: bytes) -> Payload:
    """Return the payload in these bytes; metrics of other types have the value None.

    Raises
    ------
    ValueError
        If they are no payload.
    SinkError
        If ``protobuf`` is not installed.
    """
    message = payload_class()()
    try:
        message.ParseFromString(data)
    except Exception as error:  # of a class of protobuf, which is imported only in `schema`
        raise ValueError(f"expected a Sparkplug B payload: {error}") from error
    metrics = [_read(field) for field in message.metrics]
    return Payload(
        metrics,
        message.timestamp if message.HasField("timestamp") else None,
        message.seq if message.HasField("seq") else None,
    )


def _read(field: Any) -> Metric:  # noqa: ANN401 - protobuf is untyped
    known = field.datatype in set(DataType)
    data_type = DataType(field.datatype) if known else _guess_type(field)
    value: Value = None
    if not field.is_null and field.WhichOneof("value") == _FIELDS[data_type]:
        value = getattr(field, _FIELDS[data_type])
        bits = _INTEGER_BITS.get(data_type)
        if bits is not None and isinstance(value, int) and value >= 1 << (bits - 1):
            value -= 1 << bits
    return Metric(
        name=field.name,
        data_type=data_type,
        value=value,
        at_ms=field.timestamp if field.HasField("timestamp") else None,
        alias=field.alias if field.HasField("alias") else None,
        is_historical=field.is_historical,
        quality=_read_quality(field.properties),
    )


def _guess_type(field: Any) -> DataType:  # noqa: ANN401 - protobuf is untyped
    """Return the type that the value has; commands may leave the type out."""
    name = field.WhichOneof("value")
    return next((each for each, key in _FIELDS.items() if key == name), DataType.STRING)


def _read_quality(properties: Any) -> MetricQuality | None:  # noqa: ANN401 - protobuf is untyped
    for key, value in zip(properties.keys, properties.values, strict=False):
        if key == "Quality" and value.int_value in set(MetricQuality):
            return MetricQuality(value.int_value)
    return None
