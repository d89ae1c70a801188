"""Operators that combine the elements along some dimensions."""

from functools import partial

from asd_monitor.onnx.builder import NotConvertibleError, Pair, Value
from asd_monitor.onnx.translation.call import Call, Translator


def _reduce(operator: str, call: Call) -> Value:
    axes = call.axes(1) if len(call.arguments) > 1 else tuple(range(call.rank()))
    keep = bool(call.arguments[2]) if len(call.arguments) > 2 else False
    return call.graph.add(operator, call.operand(0), call.graph.integers(*axes), keepdims=int(keep))


def _sum(call: Call) -> Value:
    value = call.graph.value(call.tensor(0))
    if isinstance(value, Pair) and call.axes(1) == (call.rank() - 1,):
        return call.graph.add("Add", *value)  # of squares: the power of a spectrum
    return _reduce("ReduceSum", call)


def _mean(call: Call) -> Value:
    return _reduce("ReduceMean", call)


def _norm(call: Call) -> Value:
    """Translate ``norm(self, p, dim, keepdim)``."""
    if call.arguments[1] not in (None, 2, 2.0):
        raise NotConvertibleError("it uses another norm than the Euclidean one")
    axes = call.axes(2) if len(call.arguments) > 2 else tuple(range(call.rank()))
    keep = bool(call.arguments[3]) if len(call.arguments) > 3 else False
    return call.graph.add(
        "ReduceL2", call.operand(0), call.graph.integers(*axes), keepdims=int(keep)
    )


def _variance(call: Call) -> Value:
    """Translate ``var(self, dim, correction=, keepdim=)``."""
    axes = call.axes(1)
    correction = 1 if call.arguments[2] is None else call.arguments[2]
    name, places = call.operand(0), call.graph.integers(*axes)
    count = 1
    for axis in axes:
        count *= call.tensor(0).shape[axis]
    mean = call.graph.add("ReduceMean", name, places, keepdims=1)
    deviation = call.graph.add("Sub", name, mean)
    square = call.graph.add("Mul", deviation, deviation)
    total = call.graph.add("ReduceSum", square, places, keepdims=int(bool(call.arguments[3])))
    return call.graph.add("Div", total, call.graph.operand(float(count - correction), call.dtype))


def _deviation(call: Call) -> Value:
    return call.graph.add("Sqrt", str(_variance(call)))


REDUCTIONS: dict[str, Translator] = {
    "mean": _mean,
    "sum": _sum,
    "amax": partial(_reduce, "ReduceMax"),
    "amin": partial(_reduce, "ReduceMin"),
    "logsumexp": partial(_reduce, "ReduceLogSumExp"),
    "norm": _norm,
    "linalg_vector_norm": _norm,
    "var": _variance,
    "std": _deviation,
}
