"""Matrix products and the layers of neural networks."""

import math
from functools import partial

import numpy as np
from torch import Tensor

from asd_monitor.onnx.builder import GraphBuilder, NotConvertibleError, Value
from asd_monitor.onnx.graph import Attribute
from asd_monitor.onnx.translation.call import Call, Translator


def _product(call: Call) -> Value:
    """Translate a product of matrices; a constant one may be stored transposed."""
    first, second = call.tensor(0), call.tensor(1)
    if first.dim() == 2 and second.dim() == 2:
        name, is_transposed = _matrix(call.graph, second)
        if is_transposed:
            return call.graph.add("Gemm", call.name(0), name, transB=1)
    return call.graph.add("MatMul", call.name(0), call.name(1))


def _matrix(graph: GraphBuilder, matrix: Tensor) -> tuple[str, bool]:
    """Return the name of a matrix, and whether it is that of the transposed matrix."""
    if graph.is_derived(matrix) or matrix.is_contiguous() or not matrix.t().is_contiguous():
        return graph.name(matrix), False
    return graph.weight(matrix.t()), True


def _affine(call: Call) -> Value:
    """Translate ``addmm(bias, a, b, beta=, alpha=)``."""
    beta, alpha = float(call.arguments[3]), float(call.arguments[4])
    name, is_transposed = _matrix(call.graph, call.tensor(2))
    return call.graph.add(
        "Gemm", call.name(1), name, call.name(0), alpha=alpha, beta=beta, transB=int(is_transposed)
    )


def _batched_affine(call: Call) -> Value:
    """Translate ``baddbmm(bias, a, b, beta=, alpha=)``."""
    product = call.graph.add("MatMul", call.name(1), call.name(2))
    for index, factor in ((4, product), (3, call.name(0))):
        value = call.arguments[index]
        if value != 1:
            factor = call.graph.add("Mul", factor, call.graph.operand(value, call.dtype))
        product = factor if index == 4 else call.graph.add("Add", product, factor)
    return product


def _convolution(call: Call) -> Value:
    weight, bias = call.tensor(1), call.arguments[2]
    stride, padding, dilation, is_transposed, extra, groups = call.arguments[3:9]
    inputs = [call.name(0), call.name(1)]
    if bias is not None:
        inputs.append(call.name(2))
    count = weight.dim() - 2
    attributes: dict[str, Attribute] = {
        "kernel_shape": tuple(weight.shape[2:]),
        "strides": _repeat(stride, count),
        "pads": _repeat(padding, count) * 2,
        "dilations": _repeat(dilation, count),
        "group": int(groups),
    }
    if is_transposed:
        attributes["output_padding"] = _repeat(extra, count)
    return call.graph.add("ConvTranspose" if is_transposed else "Conv", *inputs, **attributes)


def _repeat(values: list[int], count: int) -> tuple[int, ...]:
    """Return one value for each dimension, where one may be given for all."""
    return tuple(values) if len(values) == count else (values[0],) * count


def _batch_norm(call: Call) -> tuple[Value, ...]:
    """Translate batch normalisation with the statistics of training: a factor and a sum."""
    statistics = call.tensor(3), call.tensor(4)
    if any(map(call.graph.is_derived, statistics)):
        raise NotConvertibleError("it normalises by the statistics of a batch")
    epsilon = float(call.arguments[7] if len(call.arguments) > 7 else call.arguments[6])
    mean, variance = statistics
    factor = (variance + epsilon).rsqrt()
    if call.arguments[1] is not None:
        factor = factor * call.tensor(1)
    shift = -mean * factor
    if call.arguments[2] is not None:
        shift = shift + call.tensor(2)
    shape = (1, -1, *(1,) * (call.rank() - 2))
    scaled = call.graph.add("Mul", call.name(0), call.graph.weight(factor.reshape(shape)))
    name = call.graph.add("Add", scaled, call.graph.weight(shift.reshape(shape)))
    return (name,)


def _layer_norm(call: Call) -> tuple[Value, ...]:
    dimensions, weight, bias, epsilon = call.arguments[1:5]
    scale = call.name(2) if weight is not None else call.graph.constant(np.ones(dimensions), "<f4")
    inputs = [call.name(0), scale]
    if bias is not None:
        inputs.append(call.name(3))
    name = call.graph.add(
        "LayerNormalization", *inputs, axis=-len(dimensions), epsilon=float(epsilon)
    )
    return (name,)


def _softmax(operator: str, call: Call) -> Value:
    return call.graph.add(operator, call.operand(0), axis=call.axis(1))


def _max_pool(call: Call) -> tuple[Value, ...]:
    kernel, stride, padding, dilation, ceil = call.arguments[1:6]
    count = len(kernel)
    name = call.graph.add(
        "MaxPool",
        call.name(0),
        kernel_shape=tuple(kernel),
        strides=_repeat(stride or kernel, count),
        pads=_repeat(padding, count) * 2,
        dilations=_repeat(dilation, count),
        ceil_mode=int(bool(ceil)),
    )
    return (name,)


def _average_pool(call: Call) -> Value:
    kernel, stride, padding, ceil, include_padding, divisor = call.arguments[1:7]
    if divisor is not None:
        raise NotConvertibleError("it averages with a divisor of its own")
    return call.graph.add(
        "AveragePool",
        call.name(0),
        kernel_shape=tuple(kernel),
        strides=_repeat(stride or kernel, len(kernel)),
        pads=_repeat(padding, len(kernel)) * 2,
        ceil_mode=int(bool(ceil)),
        count_include_pad=int(bool(include_padding)),
    )


def _attention(call: Call) -> tuple[Value, ...]:
    """Translate scaled dot-product attention of ``query, key, value``."""
    query, scale = call.tensor(0), call.arguments[6]
    if call.arguments[3] or call.arguments[4] or call.arguments[5] is not None:
        raise NotConvertibleError("it uses attention with a mask")
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    transposed = call.graph.transpose(call.name(1), (0, 1, 3, 2))
    products = call.graph.add("MatMul", call.name(0), transposed)
    scaled = call.graph.add("Mul", products, call.graph.operand(factor, call.dtype))
    weights = call.graph.add("Softmax", scaled, axis=3)
    return (call.graph.add("MatMul", weights, call.name(2)),)


LAYERS: dict[str, Translator] = {
    "mm": _product,
    "bmm": _product,
    "mv": _product,
    "dot": _product,
    "matmul": _product,
    "addmm": _affine,
    "baddbmm": _batched_affine,
    "convolution": _convolution,
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_layer_norm": _layer_norm,
    "_softmax": partial(_softmax, "Softmax"),
    "_log_softmax": partial(_softmax, "LogSoftmax"),
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _average_pool,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
}
