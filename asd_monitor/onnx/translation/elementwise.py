"""Operators that compute each element from those at the same place."""

import math
from functools import partial

import torch

from asd_monitor.onnx.builder import NotConvertibleError, Pair, Value
from asd_monitor.onnx.translation.call import Call, Translator
from asd_monitor.onnx.translation.fourier import as_pair

COMPARISONS = {
    "eq": "Equal",
    "lt": "Less",
    "le": "LessOrEqual",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
}


def _unary(operator: str, call: Call) -> Value:
    return call.graph.add(operator, call.operand(0))


def _binary(operator: str, call: Call) -> Value:
    first, second = call.operand(0), call.operand(1)
    factor = call.arguments[2] if len(call.arguments) > 2 else 1
    if isinstance(factor, str):
        raise NotConvertibleError("it rounds quotients")
    if factor is not None and factor != 1:
        second = call.graph.add("Mul", second, call.graph.operand(factor, call.dtype))
    return call.graph.add(operator, first, second)


def _reversed_subtraction(call: Call) -> Value:
    return call.graph.add("Sub", call.operand(1), call.operand(0))


def _compare(operator: str, call: Call) -> Value:
    dtype = call.tensor(0).dtype
    return call.graph.add(operator, call.operand(0, dtype), call.operand(1, dtype))


def _not_equal(call: Call) -> Value:
    return call.graph.add("Not", str(_compare("Equal", call)))


def _power(call: Call) -> Value:
    exponent = call.arguments[1]
    if exponent == 2:
        return _square(call)
    if exponent == 0.5:
        return call.graph.add("Sqrt", call.operand(0))
    return call.graph.add("Pow", call.operand(0), call.operand(1))


def _square(call: Call) -> Value:
    value = call.graph.value(call.tensor(0))
    if isinstance(value, Pair):
        return Pair(*(call.graph.add("Mul", name, name) for name in value))
    name = call.operand(0)
    return call.graph.add("Mul", name, name)


def _absolute(call: Call) -> Value:
    if not call.tensor(0).is_complex():
        return _unary("Abs", call)
    squares = [call.graph.add("Mul", name, name) for name in as_pair(call.graph, call.tensor(0))]
    return call.graph.add("Sqrt", call.graph.add("Add", *squares))


def _logarithm(base: float, call: Call) -> Value:
    logarithm = call.graph.add("Log", call.operand(0))
    factor = call.graph.constant(1.0 / math.log(base), "<f4")
    return call.graph.add("Mul", logarithm, factor)


def _log1p(call: Call) -> Value:
    one = call.graph.operand(1.0, call.dtype)
    return call.graph.add("Log", call.graph.add("Add", call.operand(0), one))


def _reciprocal_root(call: Call) -> Value:
    return call.graph.add("Reciprocal", call.graph.add("Sqrt", call.operand(0)))


def _clamp(call: Call) -> Value:
    """Clamp to a lower and an upper bound, of which either may be missing."""
    name = call.operand(0)
    bounds = (*call.arguments[1:3], None)
    for bound, operator in zip(bounds, ("Max", "Min"), strict=False):
        if bound is not None:
            name = call.graph.add(operator, name, call.graph.operand(bound, call.dtype))
    return name


def _clamp_max(call: Call) -> Value:
    return call.graph.add("Min", call.operand(0), call.operand(1))


def _leaky_relu(call: Call) -> Value:
    return call.graph.add("LeakyRelu", call.operand(0), alpha=float(call.arguments[1]))


def _elu(call: Call) -> Value:
    if tuple(call.arguments[2:4]) != (1, 1):
        raise NotConvertibleError("it uses a scaled ELU")
    return call.graph.add("Elu", call.operand(0), alpha=float(call.arguments[1]))


def _gelu(call: Call) -> Value:
    return call.graph.add("Gelu", call.operand(0), approximate=str(call.arguments[1]))


def _silu(call: Call) -> Value:
    name = call.operand(0)
    return call.graph.add("Mul", name, call.graph.add("Sigmoid", name))


def _softplus(call: Call) -> Value:
    if call.arguments[1] != 1:
        raise NotConvertibleError("it uses a scaled softplus")
    return call.graph.add("Softplus", call.operand(0))


def _where(call: Call) -> Value:
    return call.graph.add("Where", call.name(0), call.operand(1), call.operand(2))


def _convert(call: Call) -> Value:
    name = call.name(0)
    return name if call.tensor(0).dtype == call.dtype else call.graph.cast(name, call.dtype)


def _copy(call: Call) -> Value:
    """Translate ``copy(self, source)``, whose result is the source in the shape of self."""
    name = call.operand(1)
    return call.graph.add("Expand", name, call.graph.integers(*call.shape))


def _same(call: Call) -> Value:
    return call.graph.value(call.tensor(0))


def _masked_fill(call: Call) -> Value:
    return call.graph.add("Where", call.operand(1, torch.bool), call.operand(2), call.operand(0))


_UNARY = {
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "neg": "Neg", "reciprocal": "Reciprocal",
    "sin": "Sin", "cos": "Cos", "tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu",
    "erf": "Erf", "logical_not": "Not", "bitwise_not": "Not", "hardswish": "HardSwish",
}  # fmt: skip
_BINARY = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "maximum": "Max", "minimum": "Min",
    "logical_and": "And", "logical_or": "Or", "_prelu_kernel": "PRelu",
}  # fmt: skip
ELEMENTWISE: dict[str, Translator] = {
    **{name: partial(_unary, operator) for name, operator in _UNARY.items()},
    **{name: partial(_binary, operator) for name, operator in _BINARY.items()},
    **{name: partial(_compare, operator) for name, operator in COMPARISONS.items()},
    "ne": _not_equal,
    "rsub": _reversed_subtraction,
    "pow": _power,
    "square": _square,
    "abs": _absolute,
    "log10": partial(_logarithm, 10.0),
    "log2": partial(_logarithm, 2.0),
    "log1p": _log1p,
    "rsqrt": _reciprocal_root,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": _clamp_max,
    "hardtanh": _clamp,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "gelu": _gelu,
    "silu": _silu,
    "softplus": _softplus,
    "where": _where,
    "masked_fill": _masked_fill,
    "_to_copy": _convert,
    "copy": _copy,
    "clone": _same,
    "alias": _same,
    "detach": _same,
    "lift_fresh": _same,
}
