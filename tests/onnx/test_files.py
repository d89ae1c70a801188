"""ONNX files from elsewhere: read strictly, checked, and written again."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.onnx.check import check
from asd_monitor.onnx.graph import Constant, ElementType, Graph, Node, Stored, TensorType
from asd_monitor.onnx.protobuf import decode, encode

SOURCE = TensorType("waveform", ElementType.FLOAT, (1, 100))
RESULT = TensorType("v1", ElementType.FLOAT, (1, 100))
WEIGHT = Constant(TensorType("w1", ElementType.FLOAT, (100,)), Stored("data/0", 8, 400))
NODE = Node("Gemm", ("waveform", "w1", ""), ("v1",), {"alpha": -2.0, "transB": 1, "mode": "a"})
GRAPH = Graph((NODE,), (SOURCE, WEIGHT.type), (RESULT,), (WEIGHT,))
SIZES = {"data/0": 408, "onnx.data": 10}


def test_a_graph_is_read_as_it_was_written() -> None:
    axes = Node("Slice", ("v1",), ("v2",), {"perm": (0, -1, 2), "scales": (0.5, 2.0)})
    inline = Constant(TensorType("c1", ElementType.INT64, ()), bytes(8))
    graph = replace(GRAPH, nodes=(NODE, axes), constants=(WEIGHT, inline))
    assert decode(encode(graph)) == graph


def test_weights_are_no_part_of_the_program() -> None:
    other = replace(WEIGHT, data=Stored("data/0", 0, 400))
    assert replace(GRAPH, constants=(other,)).program == GRAPH.program
    assert GRAPH.program.constants == ()


@given(st.integers(min_value=0), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_a_damaged_file_is_refused_or_is_another_graph(place: int, byte: int) -> None:
    content = bytearray(encode(GRAPH))
    content[place % len(content)] = byte
    try:
        graph = decode(bytes(content))
    except ValueError:
        return
    encode(graph)


@pytest.mark.parametrize(
    "extra",
    [
        b"\xa2\x01\x00",  # functions of the model
        b"\x72\x04\n\x00\x12\x00",  # metadata
        b"\x28\x01",  # version of the model
    ],
)
def test_parts_that_no_graph_of_this_program_has_are_refused(extra: bytes) -> None:
    with pytest.raises(ValueError, match="unexpected part"):
        decode(encode(GRAPH) + extra)


def node(**changes: object) -> Graph:
    return replace(GRAPH, nodes=(replace(NODE, **changes),))  # type: ignore[arg-type]


def weight(**changes: object) -> Graph:
    return replace(GRAPH, constants=(replace(WEIGHT, **changes),))  # type: ignore[arg-type]


HUGE = TensorType("waveform", ElementType.FLOAT, (1, 2**40))
HOSTILE = {
    "an operator with a subgraph": (node(operator="If"), "'If' is not allowed"),
    "an operator of text": (node(operator="StringNormalizer"), "is not allowed"),
    "a value from nowhere": (node(inputs=("v9",)), "not computed before it"),
    "a value that is computed twice": (node(outputs=("w1",)), "used twice"),
    "a name with a path": (node(outputs=("../v1",)), "is not allowed"),
    "a result that is missing": (node(outputs=("v2",)), "is not computed"),
    "a file of the system": (weight(data=Stored("/etc/passwd", 0, 400)), "outside the archive"),
    "a file above": (weight(data=Stored("../data/0", 0, 400)), "outside the archive"),
    "another member": (weight(data=Stored("data/1", 0, 400)), "outside the archive"),
    "data after the end": (weight(data=Stored("data/0", 9, 400)), "after the end"),
    "data before the start": (weight(data=Stored("data/0", -400, 400)), "after the end"),
    "too little data": (weight(data=b"1234"), "expected 400 bytes"),
    "a huge input": (replace(GRAPH, inputs=(HUGE, WEIGHT.type)), "smaller tensor"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_graph_is_refused(name: str) -> None:
    graph, reason = HOSTILE[name]
    check(GRAPH, SIZES)
    with pytest.raises(ValueError, match=reason):
        check(graph, SIZES)
