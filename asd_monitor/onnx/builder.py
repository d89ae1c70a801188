"""Build the graph of a torch module while its operators are recorded."""

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asd_monitor.onnx.graph import Attribute, Constant, ElementType, Node, TensorType


class NotConvertibleError(Exception):
    """A module does what no graph can do; the message says what."""


class Pair(NamedTuple):
    """Names of the real and the imaginary part of a complex tensor, or of its view as reals."""

    real: str
    imaginary: str


@dataclass(frozen=True, slots=True)
class Spectrum:
    """A complex spectrum that is computed when it is used, with as many bins as are used."""

    source: str
    """``(..., n_fft)``: the signals, the transformed dimension last."""
    shape: tuple[int, ...]
    """Of the result, the bins last."""
    n_fft: int
    dimension: int
    """Place of the bins in the tensor of torch."""
    scale: float


Value: TypeAlias = str | Pair | Spectrum
"""What a tensor of torch is in the graph."""


@dataclass
class GraphBuilder:
    """Nodes and constants of a graph, and the values of the tensors that depend on its input."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[tuple[str, tuple[int, ...], bytes], Constant] = field(default_factory=dict)
    weights: list[Constant] = field(default_factory=list)
    _weight_names: dict[tuple[object, ...], str] = field(default_factory=dict)
    _values: dict[int, tuple[Tensor, Value | None]] = field(default_factory=dict)
    _kept: list[Tensor] = field(default_factory=list)
    _count: int = 0

    def is_derived(self, tensor: Tensor) -> bool:
        """Return whether a tensor depends on the input of the graph."""
        return id(tensor) in self._values

    def value(self, tensor: Tensor) -> Value:
        """Return what a tensor that depends on the input is in the graph."""
        value = self._values[id(tensor)][1]
        if value is None:
            raise NotConvertibleError("it uses a tensor after a change of another view of it")
        return value

    def derived_tensors(self) -> list[Tensor]:
        """Return the tensors that depend on the input."""
        return [tensor for tensor, _ in self._values.values()]

    def invalidate(self, tensor: Tensor) -> None:
        """Note that a tensor has changed in an unknown way; it cannot be used any more."""
        self._values[id(tensor)] = (tensor, None)

    def forget_weights(self) -> None:
        """Note that constant tensors have changed: they are new weights when used again."""
        self._weight_names.clear()

    def set_value(self, tensor: Tensor, value: Value) -> None:
        """Note what a tensor is in the graph; it is kept, so that no other gets its identity."""
        self._values[id(tensor)] = (tensor, value)

    def add(self, operator: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node, and return the name of its output."""
        return self.add_many(operator, inputs, 1, **attributes)[0]

    def add_many(
        self, operator: str, inputs: tuple[str, ...], outputs: int, **attributes: Attribute
    ) -> tuple[str, ...]:
        """Add a node, and return the names of its outputs."""
        names = tuple(self._new_name("v") for _ in range(outputs))
        stored = {
            name: float(np.float32(value)) if isinstance(value, float) else value
            for name, value in attributes.items()
        }
        self.nodes.append(Node(operator, inputs, names, stored))
        return names

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """Return the name of a constant of the program."""
        array = np.asarray(value, dtype)
        kind = ElementType.of(array.dtype)
        key = (kind.name, array.shape, np.ascontiguousarray(array, kind.dtype).tobytes())
        if key not in self.constants:
            tensor = TensorType(self._new_name("c"), kind, array.shape)
            self.constants[key] = Constant(tensor, key[2])
        return self.constants[key].type.name

    def integers(self, *values: int) -> str:
        """Return the name of a vector of integers, such as a shape or axes."""
        return self.constant(values, np.int64)

    def weight(self, tensor: Tensor) -> str:
        """Return the name of the weight with the values of a tensor."""
        key = (tensor.data_ptr(), tensor.stride(), tuple(tensor.shape), tensor.dtype)
        if key not in self._weight_names:
            array = tensor.detach().contiguous().numpy()
            kind = ElementType.of(numpy_dtype(tensor.dtype))
            name = self._weight_names[key] = self._new_name("w")
            data = np.ascontiguousarray(array, kind.dtype).tobytes()
            self.weights.append(Constant(TensorType(name, kind, tuple(array.shape)), data))
            self._kept.append(tensor)
        return self._weight_names[key]

    def name(self, tensor: Tensor) -> str:
        """Return the name of a real tensor, which may depend on the input or not."""
        if not self.is_derived(tensor):
            if tensor.is_complex():
                raise NotConvertibleError("it computes with complex constants")
            return self.weight(tensor)
        value = self.value(tensor)
        if not isinstance(value, str):
            raise NotConvertibleError("it computes with complex numbers")
        return value

    def operand(self, operand: Tensor | float, dtype: torch.dtype) -> str:
        """Return the name of a tensor or number, converted to an element type."""
        if not isinstance(operand, Tensor):
            return self.constant(operand, numpy_dtype(dtype))
        name = self.name(operand)
        return name if operand.dtype == dtype else self.cast(name, dtype)

    def cast(self, name: str, dtype: torch.dtype) -> str:
        """Return the name of a value converted to an element type."""
        return self.add("Cast", name, to=int(ElementType.of(numpy_dtype(dtype))))

    def reshape(self, name: str, shape: tuple[int, ...]) -> str:
        """Return the name of a value with another shape."""
        return self.add("Reshape", name, self.integers(*shape), allowzero=1)

    def transpose(self, name: str, order: tuple[int, ...]) -> str:
        """Return the name of a value with its dimensions in another order."""
        if order == tuple(range(len(order))):
            return name
        return self.add("Transpose", name, perm=order)

    def slice(self, name: str, axis: int, start: int, stop: int, step: int = 1) -> str:
        """Return the name of a part of a value along one axis."""
        places = (self.integers(value) for value in (start, stop, axis, step))
        return self.add("Slice", name, *places)

    def _new_name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"


def numpy_dtype(dtype: torch.dtype) -> npt.DTypeLike:
    """Return the type of numpy that corresponds to one of torch."""
    known: dict[torch.dtype, npt.DTypeLike] = {
        torch.float32: np.float32,
        torch.float64: np.float64,
        torch.int64: np.int64,
        torch.int32: np.int32,
        torch.bool: np.bool_,
    }
    if dtype not in known:
        msg = f"it computes with {str(dtype).removeprefix('torch.')}"
        raise NotConvertibleError(msg)
    return known[dtype]
