"""The messages of Sparkplug B, described for ``protobuf``, which is imported only here.

Names, numbers and types of the fields are those of the Eclipse Sparkplug specification 3.0, chapter
"Sparkplug B". Only the messages that the monitor writes or reads are described; a reader keeps
fields that it does not know. The descriptions are in a pool of their own, so that they do not
collide with those of another package.
"""

from functools import lru_cache
from typing import Any

from asd_monitor.errors import SinkError

MISSING = (
    "mqtt.sparkplug: Sparkplug needs the package protobuf, which is not installed; install it "
    "with `pip install 'asd-monitor[sparkplug]'`, or turn Sparkplug off (sparkplug: off)"
)
PACKAGE = "org.eclipse.tahu.protobuf"

Fields = dict[str, tuple[int, str]]

_PAYLOAD: Fields = {
    "timestamp": (1, "uint64"),
    "metrics": (2, "repeated Payload.Metric"),
    "seq": (3, "uint64"),
    "uuid": (4, "string"),
    "body": (5, "bytes"),
}
_METRIC: Fields = {
    "name": (1, "string"),
    "alias": (2, "uint64"),
    "timestamp": (3, "uint64"),
    "datatype": (4, "uint32"),
    "is_historical": (5, "bool"),
    "is_transient": (6, "bool"),
    "is_null": (7, "bool"),
    "properties": (9, "Payload.PropertySet"),
    "int_value": (10, "value uint32"),
    "long_value": (11, "value uint64"),
    "float_value": (12, "value float"),
    "double_value": (13, "value double"),
    "boolean_value": (14, "value bool"),
    "string_value": (15, "value string"),
    "bytes_value": (16, "value bytes"),
}
_PROPERTY_SET: Fields = {
    "keys": (1, "repeated string"),
    "values": (2, "repeated Payload.PropertyValue"),
}
_PROPERTY_VALUE: Fields = {
    "type": (1, "uint32"),
    "is_null": (2, "bool"),
    "int_value": (3, "value uint32"),
    "long_value": (4, "value uint64"),
    "float_value": (5, "value float"),
    "double_value": (6, "value double"),
    "boolean_value": (7, "value bool"),
    "string_value": (8, "value string"),
}
"""Fields by name: the number, and the type after ``repeated`` or after the name of its oneof."""


@lru_cache(maxsize=1)
def payload_class() -> Any:  # noqa: ANN401 - made at run time
    """Return the class of payloads.

    Raises
    ------
    SinkError
        If ``protobuf`` is not installed.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise SinkError(MISSING) from error
    file = descriptor_pb2.FileDescriptorProto(
        name="sparkplug_b.proto", package=PACKAGE, syntax="proto2"
    )
    payload = file.message_type.add(name="Payload")
    _add_fields(payload, _PAYLOAD)
    for name, fields in (
        ("Metric", _METRIC),
        ("PropertySet", _PROPERTY_SET),
        ("PropertyValue", _PROPERTY_VALUE),
    ):
        _add_fields(payload.nested_type.add(name=name), fields)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.Payload"))


def _add_fields(message: Any, fields: Fields) -> None:  # noqa: ANN401 - protobuf is untyped
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto

    for name, (number, described) in fields.items():
        label, _, kind = described.rpartition(" ")
        field = message.field.add(name=name, number=number)
        field.label = FieldDescriptorProto.LABEL_OPTIONAL
        if label == "repeated":
            field.label = FieldDescriptorProto.LABEL_REPEATED
        elif label:
            if not message.oneof_decl:
                message.oneof_decl.add(name=label)
            field.oneof_index = 0
        if kind.startswith("Payload."):
            field.type = FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = f".{PACKAGE}.{kind}"
        else:
            field.type = getattr(FieldDescriptorProto, f"TYPE_{kind.upper()}")
