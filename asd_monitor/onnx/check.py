"""Check the graph of a file from elsewhere: operators of a list, names, sizes and places."""

import re
from collections.abc import Mapping

from asd_monitor.onnx.graph import MAX_ELEMENTS, MAX_RANK, Constant, Graph, Stored, TensorType

MAX_NODES = 20_000
OPERATORS = frozenset(
    (
        "Abs", "Add", "And", "AveragePool", "Cast", "Concat", "Conv", "ConvTranspose", "Cos",
        "CumSum", "Div", "Elu", "Equal", "Erf", "Exp", "Expand", "Gather", "GatherElements",
        "Gelu", "Gemm", "Greater", "GreaterOrEqual", "HardSwish", "LayerNormalization",
        "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool",
        "Min", "Mul", "Neg", "Not", "Or", "PRelu", "Pad", "Pow", "Reciprocal", "ReduceL2",
        "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Relu", "Reshape",
        "ScatterElements", "ScatterND", "Sigmoid", "Sin", "Slice", "Softmax", "Softplus", "Sqrt",
        "Sub", "Tanh", "TopK", "Transpose", "Where",
    )
)  # fmt: skip
"""Standard operators without subgraphs, random numbers, text, or access to files."""
_NAME = re.compile(r"[a-z]{1,12}\d{0,9}")
EXTERNAL_MEMBER = "onnx.data"
_LOCATION = re.compile(r"(data|constants)/\d{1,9}|onnx\.data")


def check(graph: Graph, sizes: Mapping[str, int]) -> None:
    """Check a graph that was read from a file.

    Parameters
    ----------
    graph
        The graph.
    sizes
        Bytes of each member of the archive that a constant may refer to, by its name without the
        folder of the archive.

    Raises
    ------
    ValueError
        If it has an operator, a name, a size or a place that no graph of this program has.
    """
    if len(graph.nodes) > MAX_NODES:
        msg = f"expected at most {MAX_NODES} operators, found {len(graph.nodes)}"
        raise ValueError(msg)
    known: set[str] = set()
    for tensor in graph.inputs:
        _check_tensor(tensor)
        _add(known, tensor.name)
    inputs = set(known)
    for constant in graph.constants:
        _check_constant(constant, sizes)
        if constant.type.name in inputs:
            inputs.remove(constant.type.name)  # a weight; a second one of this name is refused
        else:
            _add(known, constant.type.name)
    for node in graph.nodes:
        if node.operator not in OPERATORS:
            msg = f"the operator {node.operator!r} is not allowed"
            raise ValueError(msg)
        unknown = [name for name in node.inputs if name and name not in known]
        if unknown:
            msg = f"{node.operator}: the input {unknown[0]!r} is not computed before it"
            raise ValueError(msg)
        for name in node.outputs:
            _add(known, name)
    for tensor in graph.outputs:
        _check_tensor(tensor)
        if tensor.name not in known:
            msg = f"the output {tensor.name!r} is not computed"
            raise ValueError(msg)


def _add(known: set[str], name: str) -> None:
    if not _NAME.fullmatch(name):
        msg = f"the name {name[:40]!r} is not allowed"
        raise ValueError(msg)
    if name in known:
        msg = f"the name {name!r} is used twice"
        raise ValueError(msg)
    known.add(name)


def _check_tensor(tensor: TensorType) -> None:
    elements = 1
    for length in tensor.shape:
        elements *= max(1, length)
    if len(tensor.shape) > MAX_RANK or elements > MAX_ELEMENTS:
        msg = f"{tensor.name!r}: expected a smaller tensor than one of shape {tensor.shape}"
        raise ValueError(msg)


def _check_constant(constant: Constant, sizes: Mapping[str, int]) -> None:
    tensor, data = constant.type, constant.data
    _check_tensor(tensor)
    if isinstance(data, Stored):
        if not _LOCATION.fullmatch(data.location) or data.location not in sizes:
            msg = f"{tensor.name!r}: its data is outside the archive: {data.location[:80]!r}"
            raise ValueError(msg)
        if data.offset < 0 or data.offset + data.length > sizes[data.location]:
            msg = f"{tensor.name!r}: its data ends after the end of {data.location}"
            raise ValueError(msg)
    length = data.length if isinstance(data, Stored) else len(data)
    if length != tensor.size_bytes:
        msg = f"{tensor.name!r}: expected {tensor.size_bytes} bytes of data, found {length}"
        raise ValueError(msg)
