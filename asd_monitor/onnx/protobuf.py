"""Write and read ONNX files: the messages of onnx.proto that :class:`Graph` uses, and no others.

The reader refuses every field that the writer does not write. A file from elsewhere is read,
checked and written again before onnxruntime gets it, so its own encoding reaches no other program.
"""

import struct
from collections.abc import Iterator
from typing import TypeAlias

from asd_monitor.onnx.graph import (
    IR_VERSION,
    OPSET,
    Attribute,
    Constant,
    ElementType,
    Graph,
    Node,
    Stored,
    TensorType,
)

PRODUCER = "asd-monitor"
_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_FLOAT, _INT, _STRING, _FLOATS, _INTS = 1, 2, 3, 6, 7
"""AttributeProto.AttributeType"""
_EXTERNAL = 1
"""TensorProto.DataLocation"""
_MAX_LENGTH = 2**31

Field: TypeAlias = tuple[int, int | bytes | float]
"""Number and value: an integer, a text or message, or a 32-bit floating-point number."""


def encode(graph: Graph) -> bytes:
    """Return the content of an ONNX file."""
    body = b"".join(
        [
            *(_message(1, _encode_node(node)) for node in graph.nodes),
            _message(2, b"model"),
            *(_message(5, _encode_constant(constant)) for constant in graph.constants),
            *(_message(11, _encode_type(tensor)) for tensor in graph.inputs),
            *(_message(12, _encode_type(tensor)) for tensor in graph.outputs),
        ]
    )
    return b"".join(
        [
            _integer(1, IR_VERSION),
            _message(2, PRODUCER.encode()),
            _message(7, body),
            _message(8, _message(1, b"") + _integer(2, OPSET)),
        ]
    )


def decode(content: bytes) -> Graph:
    """Read an ONNX file.

    Raises
    ------
    ValueError
        If it is damaged, or has a part that no graph of this program has.
    """
    graphs: list[Graph] = []
    for number, value in _fields(content):
        match number, value:
            case 1, int():
                _expect(value == IR_VERSION, f"IR version {IR_VERSION}", value)
            case 2, bytes():
                _expect(value == PRODUCER.encode(), f"producer {PRODUCER}", value[:40])
            case 7, bytes():
                graphs.append(_decode_graph(value))
            case 8, bytes():
                _expect(
                    sorted(_fields(value)) == [(1, b""), (2, OPSET)],
                    f"standard operators of version {OPSET}",
                    value[:40],
                )
            case _:
                raise _unexpected("model", number)
    _expect(len(graphs) == 1, "one graph", len(graphs))
    return graphs[0]


def _decode_graph(content: bytes) -> Graph:
    nodes: list[Node] = []
    inputs: list[TensorType] = []
    outputs: list[TensorType] = []
    constants: list[Constant] = []
    for number, value in _fields(content):
        match number, value:
            case 1, bytes():
                nodes.append(_decode_node(value))
            case 2, bytes():
                continue
            case 5, bytes():
                constants.append(_decode_constant(value))
            case 11, bytes():
                inputs.append(_decode_type(value))
            case 12, bytes():
                outputs.append(_decode_type(value))
            case _:
                raise _unexpected("graph", number)
    return Graph(tuple(nodes), tuple(inputs), tuple(outputs), tuple(constants))


def _encode_node(node: Node) -> bytes:
    return b"".join(
        [
            *(_message(1, name.encode()) for name in node.inputs),
            *(_message(2, name.encode()) for name in node.outputs),
            _message(4, node.operator.encode()),
            *(
                _message(5, _encode_attribute(name, value))
                for name, value in sorted(node.attributes.items())
            ),
        ]
    )


def _decode_node(content: bytes) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    operators: list[str] = []
    attributes: dict[str, Attribute] = {}
    for number, value in _fields(content):
        match number, value:
            case 1, bytes():
                inputs.append(value.decode())
            case 2, bytes():
                outputs.append(value.decode())
            case 4, bytes():
                operators.append(value.decode())
            case 5, bytes():
                name, attribute = _decode_attribute(value)
                attributes[name] = attribute
            case _:
                raise _unexpected("node", number)
    _expect(len(operators) == 1, "one operator a node", len(operators))
    return Node(operators[0], tuple(inputs), tuple(outputs), attributes)


def _encode_attribute(name: str, value: Attribute) -> bytes:
    start = _message(1, name.encode())
    match value:
        case str():
            return start + _message(4, value.encode()) + _integer(20, _STRING)
        case int():
            return start + _integer(3, value) + _integer(20, _INT)
        case float():
            return start + _float(2, value) + _integer(20, _FLOAT)
        case tuple() if all(isinstance(item, int) for item in value):
            items = b"".join(_integer(8, int(item)) for item in value)
            return start + items + _integer(20, _INTS)
        case _:
            items = b"".join(_float(7, float(item)) for item in value)
            return start + items + _integer(20, _FLOATS)


def _decode_attribute(content: bytes) -> tuple[str, Attribute]:
    name, kind = "", 0
    scalar: int | float | str | None = None
    integers: list[int] = []
    floats: list[float] = []
    for number, value in _fields(content):
        match number, value:
            case 1, bytes():
                name = value.decode()
            case 2, float():
                scalar = value
            case 3, int():
                scalar = _signed(value)
            case 4, bytes():
                scalar = value.decode()
            case 7, float():
                floats.append(value)
            case 8, int():
                integers.append(_signed(value))
            case 20, int():
                kind = value
            case _:
                raise _unexpected("attribute", number)
    if kind == _INTS:
        return name, tuple(integers)
    if kind == _FLOATS:
        return name, tuple(floats)
    expected = {_FLOAT: float, _INT: int, _STRING: str}.get(kind)
    if expected is None or scalar is None or type(scalar) is not expected:
        msg = f"attribute {name!r}: its value does not fit its type"
        raise ValueError(msg)
    return name, scalar


def _encode_constant(constant: Constant) -> bytes:
    tensor = constant.type
    parts = [
        *(_integer(1, length) for length in tensor.shape),
        _integer(2, tensor.element_type),
        _message(8, tensor.name.encode()),
    ]
    if isinstance(constant.data, bytes):
        parts.append(_message(9, constant.data))
    else:
        place = constant.data
        entries = (
            ("location", place.location),
            ("offset", str(place.offset)),
            ("length", str(place.length)),
        )
        parts += [
            _message(13, _message(1, key.encode()) + _message(2, text.encode()))
            for key, text in entries
        ]
        parts.append(_integer(14, _EXTERNAL))
    return b"".join(parts)


def _decode_constant(content: bytes) -> Constant:
    shape: list[int] = []
    name, kind, is_external = "", 0, False
    data: bytes | None = None
    entries: dict[str, str] = {}
    for number, value in _fields(content):
        match number, value:
            case 1, int():
                shape.append(value)
            case 2, int():
                kind = value
            case 8, bytes():
                name = value.decode()
            case 9, bytes():
                data = value
            case 13, bytes():
                key, text = _decode_entry(value)
                entries[key] = text
            case 14, int():
                is_external = value == _EXTERNAL
            case _:
                raise _unexpected("constant", number)
    tensor = TensorType(name, ElementType(kind), tuple(shape))
    if is_external and data is None and set(entries) == {"location", "offset", "length"}:
        place = Stored(entries["location"], int(entries["offset"]), int(entries["length"]))
        return Constant(tensor, place)
    _expect(data is not None and not is_external and not entries, "data", name)
    return Constant(tensor, data or b"")


def _decode_entry(content: bytes) -> tuple[str, str]:
    texts = {number: value.decode() for number, value in _fields(content) if type(value) is bytes}
    _expect(set(texts) == {1, 2}, "a key and a text", sorted(texts))
    return texts[1], texts[2]


def _encode_type(tensor: TensorType) -> bytes:
    shape = b"".join(_message(1, _integer(1, length)) for length in tensor.shape)
    kind = _message(1, _integer(1, tensor.element_type) + _message(2, shape))
    return _message(1, tensor.name.encode()) + _message(2, kind)


def _decode_type(content: bytes) -> TensorType:
    name, kind, shape = "", 0, []
    for number, value in _fields(content):
        match number, value:
            case 1, bytes():
                name = value.decode()
            case 2, bytes():
                ((_, tensor),) = _expect_fields(value, {1})
                parts = dict(_expect_fields(_as_bytes(tensor), {1, 2}))
                kind = _as_int(parts[1])
                for _, dimension in _expect_fields(_as_bytes(parts[2]), {1}):
                    ((_, length),) = _expect_fields(_as_bytes(dimension), {1})
                    shape.append(_as_int(length))
            case _:
                raise _unexpected("tensor", number)
    return TensorType(name, ElementType(kind), tuple(shape))


def _expect_fields(content: bytes, numbers: set[int]) -> list[Field]:
    fields = list(_fields(content))
    _expect({number for number, _ in fields} <= numbers, f"fields {numbers}", fields[:1])
    return fields


def _as_bytes(value: int | bytes | float) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("expected a message")
    return value


def _as_int(value: int | bytes | float) -> int:
    if not isinstance(value, int):
        raise ValueError("expected an integer")
    return value


def _expect(is_right: bool, expected: str, found: object) -> None:
    if not is_right:
        msg = f"expected {expected}, found {found!r}"
        raise ValueError(msg)


def _unexpected(message: str, number: int) -> ValueError:
    return ValueError(f"an unexpected part of a {message}: field {number}")


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _float(number: int, value: float) -> bytes:
    return _varint(number << 3 | _FIXED32) + struct.pack("<f", value)


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _fields(content: bytes) -> Iterator[Field]:
    """Return the fields of a message, in their order."""
    position = 0
    while position < len(content):
        key, position = _read_varint(content, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _read_varint(content, position)
            yield number, value
        elif kind == _BYTES:
            length, position = _read_varint(content, position)
            if length > _MAX_LENGTH or position + length > len(content):
                raise ValueError("a part is longer than the whole")
            yield number, content[position : position + length]
            position += length
        elif kind == _FIXED32 and position + 4 <= len(content):
            (number_value,) = struct.unpack_from("<f", content, position)
            yield number, float(number_value)
            position += 4
        else:
            raise ValueError("a part of an unknown kind")


def _read_varint(content: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            raise ValueError("cut short")
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & ((1 << 64) - 1), position
    raise ValueError("a number that is too long")
