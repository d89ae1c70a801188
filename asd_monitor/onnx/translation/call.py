"""A recorded call of an operator of torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from asd_monitor.onnx.builder import GraphBuilder, NotConvertibleError, Value


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of an operator and its result, whose shape is fixed in the graph."""

    graph: GraphBuilder
    arguments: tuple[Any, ...]
    """With the default of each that was not given."""
    result: Any

    @property
    def output(self) -> Tensor:
        """The result, or the first one of several."""
        result = self.result[0] if isinstance(self.result, (tuple, list)) else self.result
        if not isinstance(result, Tensor):
            raise NotConvertibleError("it computes something else than tensors")
        return result

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of :attr:`output`."""
        return tuple(self.output.shape)

    @property
    def dtype(self) -> torch.dtype:
        """Element type of :attr:`output`."""
        return self.output.dtype

    def tensor(self, index: int) -> Tensor:
        """Return an argument that is a tensor."""
        argument = self.arguments[index]
        if not isinstance(argument, Tensor):
            raise NotConvertibleError("it computes something else than tensors")
        return argument

    def rank(self, index: int = 0) -> int:
        """Return the number of dimensions of an argument."""
        return self.tensor(index).dim()

    def name(self, index: int = 0) -> str:
        """Return the name of an argument that is a real tensor."""
        return self.graph.name(self.tensor(index))

    def operand(self, index: int, dtype: torch.dtype | None = None) -> str:
        """Return the name of an argument that is a tensor or number."""
        return self.graph.operand(self.arguments[index], dtype or self.dtype)

    def axis(self, index: int, rank: int | None = None) -> int:
        """Return an argument that is a dimension, counted from the first one."""
        return int(self.arguments[index]) % max(1, self.rank() if rank is None else rank)

    def axes(self, index: int) -> tuple[int, ...]:
        """Return an argument with several dimensions; all of them if it is empty."""
        given = self.arguments[index]
        if given is None or given == []:
            return tuple(range(self.rank()))
        dimensions = [given] if isinstance(given, int) else given
        return tuple(sorted(int(axis) % max(1, self.rank()) for axis in dimensions))


Translator: TypeAlias = Callable[[Call], Value | tuple[Value, ...]]
