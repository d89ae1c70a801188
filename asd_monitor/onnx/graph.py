"""An ONNX graph as plain values: the part of the format that model files use."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

OPSET = 20
IR_VERSION = 9
MAX_RANK = 8
MAX_ELEMENTS = 2**31


class ElementType(IntEnum):
    """Type of the elements of a tensor, by its number in ONNX."""

    FLOAT = 1
    INT32 = 6
    INT64 = 7
    BOOL = 9
    DOUBLE = 11

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The corresponding type of numpy, little-endian."""
        return _DTYPES[self]

    @classmethod
    def of(cls, dtype: npt.DTypeLike) -> "ElementType":
        """Return the element type of a type of numpy; ValueError if there is none."""
        for element_type, known in _DTYPES.items():
            if np.dtype(dtype) == known:
                return element_type
        msg = f"tensors of type {np.dtype(dtype)} are not supported"
        raise ValueError(msg)


_DTYPES: dict[ElementType, np.dtype[np.generic]] = {
    ElementType.FLOAT: np.dtype("<f4"),
    ElementType.INT32: np.dtype("<i4"),
    ElementType.INT64: np.dtype("<i8"),
    ElementType.BOOL: np.dtype("?"),
    ElementType.DOUBLE: np.dtype("<f8"),
}

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph."""

    operator: str
    inputs: tuple[str, ...]
    """Names of values; empty for an optional input that is absent."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class TensorType:
    """Name, element type and shape of an input, an output or a constant."""

    name: str
    element_type: ElementType
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all elements."""
        size = self.element_type.dtype.itemsize
        for length in self.shape:
            size *= length
        return size


@dataclass(frozen=True, slots=True)
class Stored:
    """A place in another member of the archive."""

    location: str
    """Name of the member without the folder of the archive."""
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant tensor, with its data or the place of its data."""

    type: TensorType
    data: bytes | Stored


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph whose nodes are in the order of their execution.

    A constant that is also an input is a *weight*: it differs between files of one program, and
    its value in the graph is the default.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    constants: tuple[Constant, ...]

    @property
    def weights(self) -> tuple[Constant, ...]:
        """The constants that are inputs too."""
        names = {tensor.name for tensor in self.inputs}
        return tuple(constant for constant in self.constants if constant.type.name in names)

    @property
    def program(self) -> "Graph":
        """The graph without the values of its weights."""
        weights = {constant.type.name for constant in self.weights}
        fixed = tuple(item for item in self.constants if item.type.name not in weights)
        return Graph(self.nodes, self.inputs, self.outputs, fixed)
