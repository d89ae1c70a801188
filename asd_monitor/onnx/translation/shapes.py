"""Operators that move elements without changing them."""

import math

import numpy as np

from asd_monitor.onnx.builder import GraphBuilder, NotConvertibleError, Pair, Spectrum, Value
from asd_monitor.onnx.translation.call import Call, Translator
from asd_monitor.onnx.translation.fourier import first_bins

_END = 2**31 - 1


def _reshape(call: Call) -> Value:
    if call.shape == tuple(call.tensor(0).shape):
        return call.graph.value(call.tensor(0))
    return call.graph.reshape(call.name(), call.shape)


def _expand(call: Call) -> Value:
    if call.shape == tuple(call.tensor(0).shape):
        return call.graph.value(call.tensor(0))
    return call.graph.add("Expand", call.name(), call.graph.integers(*call.shape))


def _transpose_matrix(call: Call) -> Value:
    return call.graph.transpose(call.name(), tuple(reversed(range(call.rank()))))


def _transpose(call: Call) -> Value:
    first, second = call.axis(1), call.axis(2)
    order = list(range(call.rank()))
    order[first], order[second] = order[second], order[first]
    value = call.graph.value(call.tensor(0))
    if isinstance(value, Spectrum):
        if call.rank() == 3 and {first, second} == {1, 2} and value.dimension != 0:
            return Spectrum(
                value.source, value.shape, value.n_fft, 3 - value.dimension, value.scale
            )
        raise NotConvertibleError("it permutes a complex spectrum")
    return call.graph.transpose(call.name(), tuple(order))


def _permute(call: Call) -> Value:
    rank = call.rank()
    return call.graph.transpose(call.name(), tuple(axis % rank for axis in call.arguments[1]))


def _slice(call: Call) -> Value:
    axis = call.axis(1)
    length = call.tensor(0).shape[axis]
    start, stop, step = call.arguments[2] or 0, call.arguments[3], call.arguments[4]
    stop = length if stop is None else min(stop, length)
    start = max(0, start + length if start < 0 else start)
    stop = stop + length if stop < 0 else stop
    value = call.graph.value(call.tensor(0))
    if start == 0 and stop == length and step == 1:
        return value
    if isinstance(value, Spectrum):
        sliced = first_bins(value, axis, start, call.shape[axis]) if step == 1 else None
        if sliced is None:
            raise NotConvertibleError("it slices a complex spectrum")
        return sliced
    if isinstance(value, Pair) and axis < call.rank() - 1:
        return Pair(*(call.graph.slice(name, axis, start, stop, step) for name in value))
    return call.graph.slice(call.name(), axis, start, stop, step)


def _select(call: Call) -> Value:
    axis, index = call.axis(1), int(call.arguments[2])
    value = call.graph.value(call.tensor(0))
    if isinstance(value, Pair) and axis == call.rank() - 1 and not call.tensor(0).is_complex():
        return value[index]
    index %= call.tensor(0).shape[axis]
    return call.graph.reshape(call.graph.slice(call.name(), axis, index, index + 1), call.shape)


def _concatenate(call: Call) -> Value:
    axis = int(call.arguments[1]) % max(1, call.output.dim())
    parts = [part for part in call.arguments[0] if tuple(part.shape) != (0,)]
    names = [call.graph.operand(part, call.dtype) for part in parts]
    return names[0] if len(names) == 1 else call.graph.add("Concat", *names, axis=axis)


def _stack(call: Call) -> Value:
    axis = int(call.arguments[1]) % call.output.dim()
    shape = tuple(1 if place == axis else n for place, n in enumerate(call.shape))
    names = [
        call.graph.reshape(call.graph.operand(part, call.dtype), shape)
        for part in call.arguments[0]
    ]
    return call.graph.add("Concat", *names, axis=axis)


def _split(call: Call) -> tuple[Value, ...]:
    axis = call.axis(2)
    parts, start = [], 0
    for part in call.result:
        stop = start + part.shape[axis]
        parts.append(call.graph.slice(call.name(), axis, start, stop))
        start = stop
    return tuple(parts)


def _unbind(call: Call) -> tuple[Value, ...]:
    axis = call.axis(1)
    return tuple(
        call.graph.reshape(call.graph.slice(call.name(), axis, index, index + 1), tuple(part.shape))
        for index, part in enumerate(call.result)
    )


def _unfold(call: Call) -> Value:
    """Cut windows of one dimension; they become a new last one."""
    axis, size, step = call.axis(1), int(call.arguments[2]), int(call.arguments[3])
    rank = call.rank()
    last = (*(place for place in range(rank) if place != axis), axis)
    signals = call.graph.transpose(call.name(), last)
    shape = tuple(call.tensor(0).shape[place] for place in last)
    frames = call.shape[axis]
    windows = _cut(call.graph, signals, shape, (frames, size), step)  # (..., frames, size)
    order = (*range(axis), rank - 1, *range(axis, rank - 1), rank)
    return call.graph.transpose(windows, order)


def _cut(
    graph: GraphBuilder, signals: str, shape: tuple[int, ...], windows: tuple[int, int], step: int
) -> str:
    """Cut windows ``(count, size)`` from the last dimension of signals, in blocks if it divides.

    The places of the blocks are the sum of two short constants, which onnxruntime computes once.
    """
    count, size = windows
    used = (count - 1) * step + size
    block = math.gcd(size, step) if count > 1 else size
    if used != shape[-1]:
        signals = graph.slice(signals, len(shape) - 1, 0, used)
    signals = graph.reshape(signals, (*shape[:-1], used // block, block))
    index = graph.add(
        "Add",
        graph.constant(np.arange(count)[:, None] * (step // block), np.int32),
        graph.constant(np.arange(size // block)[None], np.int32),
    )
    parts = graph.add("Gather", signals, index, axis=len(shape) - 1)
    return graph.reshape(parts, (*shape[:-1], count, size))


def _as_strided(call: Call) -> Value:
    """Translate the windows that ``torch.stft`` cuts: ``(batch, frames, size)``."""
    size, stride, offset = call.arguments[1:4]
    shape = tuple(call.tensor(0).shape)
    is_cut = len(size) == 3 and len(shape) == 2 and size[0] == shape[0]
    if not is_cut or stride[2] != 1 or offset or not call.tensor(0).is_contiguous():
        raise NotConvertibleError("it uses strides in an unusual way")
    return _cut(call.graph, call.name(), shape, (size[1], size[2]), stride[1])


def _pad(call: Call, mode: str, value: float) -> Value:
    given = list(call.arguments[1])
    pairs = [(given[i], given[i + 1]) for i in range(0, len(given), 2)]
    pairs += [(0, 0)] * (call.rank() - len(pairs))
    pairs.reverse()
    pads = call.graph.integers(*(low for low, _ in pairs), *(high for _, high in pairs))
    if mode == "reflect":
        return call.graph.add("Pad", call.name(), pads, mode=mode)
    fill = call.graph.operand(value, call.dtype)
    return call.graph.add("Pad", call.name(), pads, fill, mode=mode)


def _pad_constant(call: Call) -> Value:
    if not any(call.arguments[1]):
        return call.graph.value(call.tensor(0))
    return _pad(call, "constant", call.arguments[2])


def _pad_reflected(call: Call) -> Value:
    return _pad(call, "reflect", 0.0)


def _flip(call: Call) -> Value:
    name = call.name()
    for axis in call.axes(1):
        name = call.graph.slice(name, axis, -1, -_END, -1)
    return name


def _repeat(call: Call) -> Value:
    if call.rank() != len(call.arguments[1]):
        raise NotConvertibleError("it repeats a tensor along new dimensions")
    name = call.name()
    for axis, count in enumerate(call.arguments[1]):
        if count > 1:
            name = call.graph.add("Concat", *([name] * count), axis=axis)
    return name


SHAPES: dict[str, Translator] = {
    **dict.fromkeys(
        ("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "flatten", "_reshape_alias"),
        _reshape,
    ),
    "expand": _expand,
    "t": _transpose_matrix,
    "transpose": _transpose,
    "permute": _permute,
    "slice": _slice,
    "select": _select,
    "cat": _concatenate,
    "stack": _stack,
    "split": _split,
    "split_with_sizes": _split,
    "unbind": _unbind,
    "unfold": _unfold,
    "as_strided": _as_strided,
    "constant_pad_nd": _pad_constant,
    "reflection_pad1d": _pad_reflected,
    "reflection_pad2d": _pad_reflected,
    "flip": _flip,
    "repeat": _repeat,
}
