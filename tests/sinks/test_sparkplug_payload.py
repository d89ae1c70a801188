"""Sparkplug payloads are encoded as the specification says, and read back without loss."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.sinks.mqtt.sparkplug.payload import (
    DataType,
    Metric,
    MetricQuality,
    Payload,
    Value,
    decode_payload,
    encode_payload,
)
from tests.rig.sparkplug import needs_protobuf

pytestmark = needs_protobuf

REFERENCE = bytes.fromhex(
    "0883d095ffbc3112120a0562645365711880d095ffbc312004580712210a144e6f646520436f6e74"
    "726f6c2f526562697274681880d095ffbc31200b7000122910ac021881d095ffbc31200a28014a10"
    "0a075175616c6974791205080318c00169000000000000f43f121c0a05737461746510021882d095"
    "ffbc31200c7a08414c41524d20c3a9121e0a066f666673657410031882d095ffbc31200458feffff"
    "ffffffffffff0112180a05736d616c6c10041882d095ffbc31200350fdffffff0f12180a09746872"
    "6573686f6c6410051882d095ffbc31200a380118ff01"
)
"""A payload as another implementation (pysparkplug 0.6.1) writes it."""
REFERENCE_PAYLOAD = Payload(
    [
        Metric("bdSeq", DataType.INT64, 7, 1700000000000),
        Metric("Node Control/Rebirth", DataType.BOOLEAN, False, 1700000000000),
        Metric("", DataType.DOUBLE, 1.25, 1700000000001, 300, True, MetricQuality.GOOD),
        Metric("state", DataType.STRING, "ALARM é", 1700000000002, 2),
        Metric("offset", DataType.INT64, -2, 1700000000002, 3),
        Metric("small", DataType.INT32, -3, 1700000000002, 4),
        Metric("threshold", DataType.DOUBLE, None, 1700000000002, 5),
    ],
    1700000000003,
    255,
)


def test_payloads_are_encoded_as_by_another_implementation() -> None:
    assert encode_payload(REFERENCE_PAYLOAD) == REFERENCE
    assert decode_payload(REFERENCE) == REFERENCE_PAYLOAD


VALUES: dict[DataType, st.SearchStrategy[Value]] = {
    DataType.INT32: st.integers(-(2**31), 2**31 - 1),
    DataType.INT64: st.integers(-(2**63), 2**63 - 1),
    DataType.DOUBLE: st.floats(allow_nan=False),
    DataType.BOOLEAN: st.booleans(),
    DataType.STRING: st.text(),
}
TIMES = st.integers(0, 2**63 - 1)
METRICS = st.one_of(
    [
        st.builds(
            Metric,
            st.text(),
            st.just(data_type),
            st.none() | values,
            st.none() | TIMES,
            st.none() | st.integers(0, 2**64 - 1),
            st.booleans(),
            st.none() | st.sampled_from(MetricQuality),
        )
        for data_type, values in VALUES.items()
    ]
)
PAYLOADS = st.builds(
    Payload, st.lists(METRICS, max_size=5), st.none() | TIMES, st.none() | st.integers(0, 255)
)


@given(PAYLOADS)
def test_a_payload_is_read_as_it_was_written(payload: Payload) -> None:
    assert decode_payload(encode_payload(payload)) == payload


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(ValueError):
        payload = decode_payload(data)
        assert all(metric.data_type in DataType for metric in payload.metrics)


def test_text_that_is_not_valid_unicode_is_replaced() -> None:
    payload = Payload([Metric("reason", DataType.STRING, "fan \udcff")])
    assert decode_payload(encode_payload(payload)).metrics[0].value == "fan ?"
