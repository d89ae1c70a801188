"""Operators that choose or replace elements by their place or order."""

import numpy as np
import torch
from torch import Tensor

from asd_monitor.onnx.builder import GraphBuilder, NotConvertibleError, Value
from asd_monitor.onnx.translation.call import Call, Translator


def _top(call: Call) -> tuple[Value, ...]:
    """Translate ``topk(self, k, dim, largest, sorted)``."""
    count, largest = int(call.arguments[1]), int(bool(call.arguments[3]))
    return call.graph.add_many(
        "TopK",
        (call.name(0), call.graph.integers(count)),
        2,
        axis=call.axis(2),
        largest=largest,
        sorted=1,
    )


def _sort(call: Call) -> tuple[Value, ...]:
    axis = call.axis(1)
    length = call.tensor(0).shape[axis]
    return call.graph.add_many(
        "TopK",
        (call.name(0), call.graph.integers(length)),
        2,
        axis=axis,
        largest=int(bool(call.arguments[2])),
        sorted=1,
    )


def _kth_smallest(call: Call) -> tuple[Value, ...]:
    """Translate ``kthvalue(self, k, dim, keepdim)``."""
    count, axis = int(call.arguments[1]), call.axis(2)
    smallest = call.graph.add_many(
        "TopK", (call.name(0), call.graph.integers(count)), 2, axis=axis, largest=0, sorted=1
    )
    keeps_axis = bool(call.arguments[3])
    last = count - 1
    place = call.graph.integers(last) if keeps_axis else call.graph.constant(last, np.int64)
    return tuple(call.graph.add("Gather", values, place, axis=axis) for values in smallest)


def _gather(call: Call) -> Value:
    return call.graph.add("GatherElements", call.name(0), call.name(2), axis=call.axis(1))


def _index(call: Call) -> Value:
    """Translate ``self[..., index, ...]`` with integers in one dimension, or masks of none."""
    places = [(axis, index) for axis, index in enumerate(call.arguments[1]) if index is not None]
    if len(places) != 1:
        raise NotConvertibleError("it selects elements in several dimensions at once")
    ((axis, index),) = places
    return call.graph.add("Gather", call.name(0), _positions(call.graph, index), axis=axis)


def _positions(graph: GraphBuilder, index: Tensor) -> str:
    """Return the name of the positions that an index of integers, or a constant mask, selects."""
    if index.dtype != torch.bool:
        return graph.name(index)
    if graph.is_derived(index):
        raise NotConvertibleError("the shape of a tensor depends on the sound")
    return graph.constant(index.nonzero().flatten().numpy(), np.int64)


def _index_select(call: Call) -> Value:
    return call.graph.add("Gather", call.name(0), call.name(2), axis=call.axis(1))


def _cumulative_sum(call: Call) -> Value:
    axis = call.graph.constant(call.axis(1), np.int64)
    return call.graph.add("CumSum", call.operand(0), axis)


def _put(call: Call) -> Value:
    """Translate ``index_put(self, indices, values, accumulate)`` of rows."""
    indices = call.arguments[1]
    if len(indices) != 1 or indices[0] is None or indices[0].dim() != 1:
        raise NotConvertibleError("it replaces elements in several dimensions at once")
    rows = _positions(call.graph, indices[0])
    count = int(indices[0].sum()) if indices[0].dtype == torch.bool else len(indices[0])
    shape = (count, *call.shape[1:])
    values = call.graph.add("Expand", call.operand(2), call.graph.integers(*shape))
    rows = call.graph.reshape(rows, (count, 1))
    reduction = "add" if call.arguments[3] else "none"
    return call.graph.add("ScatterND", call.operand(0), rows, values, reduction=reduction)


def _scatter(call: Call) -> Value:
    """Translate ``scatter(self, dim, index, value)``."""
    shape = call.graph.integers(*call.tensor(2).shape)
    values = call.graph.add("Expand", call.operand(3), shape)
    return call.graph.add(
        "ScatterElements", call.operand(0), call.name(2), values, axis=call.axis(1)
    )


def _scatter_slice(call: Call) -> Value:
    """Translate ``slice_scatter(self, source, dim, start, end, step)``."""
    axis = int(call.arguments[2]) % call.rank()
    places = range(call.shape[axis])[slice(*call.arguments[3:6])]
    return _replace(call, axis, list(places))


def _scatter_one(call: Call) -> Value:
    """Translate ``select_scatter(self, source, dim, index)``."""
    axis = int(call.arguments[2]) % call.rank()
    return _replace(call, axis, [int(call.arguments[3]) % call.shape[axis]])


def _replace(call: Call, axis: int, places: list[int]) -> Value:
    """Replace the parts of the first argument at some places of an axis by the second one."""
    graph, rank = call.graph, call.rank()
    shape = tuple(len(places) if place == axis else n for place, n in enumerate(call.shape))
    source = graph.reshape(call.operand(1), shape)
    if len(places) == call.shape[axis] and places == sorted(places):
        return source
    order = (axis, *(place for place in range(rank) if place != axis))
    rows = graph.constant(np.array(places)[:, None], np.int64)
    replaced = graph.add(
        "ScatterND",
        graph.transpose(call.operand(0), order),
        rows,
        graph.transpose(source, order),
        reduction="none",
    )
    return graph.transpose(replaced, tuple(int(place) for place in np.argsort(order)))


def _add_rows(call: Call) -> Value:
    """Translate ``index_add(self, dim, index, source, alpha=)``."""
    axis = call.axis(1)
    if call.arguments[4] != 1:
        raise NotConvertibleError("it adds scaled rows")
    graph, rank = call.graph, call.rank()
    order = (axis, *(place for place in range(rank) if place != axis))
    rows = graph.reshape(call.name(2), (call.tensor(2).numel(), 1))
    added = graph.add(
        "ScatterND",
        graph.transpose(call.operand(0), order),
        rows,
        graph.transpose(call.operand(3), order),
        reduction="add",
    )
    return graph.transpose(added, tuple(int(place) for place in np.argsort(order)))


SELECTION: dict[str, Translator] = {
    "topk": _top,
    "kthvalue": _kth_smallest,
    "sort": _sort,
    "gather": _gather,
    "index": _index,
    "index_select": _index_select,
    "embedding": lambda call: call.graph.add("Gather", call.name(0), call.name(1), axis=0),
    "cumsum": _cumulative_sum,
    "index_put": _put,
    "_index_put_impl": _put,
    "scatter": _scatter,
    "slice_scatter": _scatter_slice,
    "select_scatter": _scatter_one,
    "index_add": _add_rows,
}
