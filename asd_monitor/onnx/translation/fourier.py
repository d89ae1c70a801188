"""Fourier transforms, and the complex tensors that they give."""

import math
from dataclasses import replace

from torch import Tensor

from asd_monitor.onnx.builder import GraphBuilder, NotConvertibleError, Pair, Spectrum, Value
from asd_monitor.onnx.spectra import Matrix, direct_matrix, split
from asd_monitor.onnx.translation.call import Call, Translator

_SCALES = {0: 0.0, 1: 0.5, 2: 1.0}
"""Power of the length by which torch divides, by its number of the normalisation."""


def _transform(call: Call) -> Value:
    dimensions, normalisation, one_sided = call.arguments[1:4]
    if len(dimensions) != 1 or not one_sided:
        raise NotConvertibleError("it uses another transform than that of real signals")
    rank = call.rank()
    dimension = dimensions[0] % rank
    order = (*(axis for axis in range(rank) if axis != dimension), dimension)
    source = call.graph.transpose(call.name(), order)
    n_fft = call.tensor(0).shape[dimension]
    shape = tuple(call.shape[axis] for axis in order)
    return Spectrum(source, shape, n_fft, dimension, n_fft ** -_SCALES[normalisation])


def first_bins(spectrum: Spectrum, dimension: int, start: int, bins: int) -> Spectrum | None:
    """Return the first bins of a spectrum; None if something else is sliced."""
    if dimension != spectrum.dimension or start != 0:
        return None
    return replace(spectrum, shape=(*spectrum.shape[:-1], bins))


def as_pair(graph: GraphBuilder, tensor: Tensor) -> Pair:
    """Return real and imaginary part of a complex tensor."""
    value = graph.value(tensor)
    if isinstance(value, Spectrum):
        value = _compute(graph, value)
        graph.set_value(tensor, value)
    if not isinstance(value, Pair):
        raise NotConvertibleError("it computes with complex numbers")
    return value


def _compute(graph: GraphBuilder, spectrum: Spectrum) -> Pair:
    rows, bins = math.prod(spectrum.shape[:-1]), spectrum.shape[-1]
    signals = graph.reshape(spectrum.source, (rows, spectrum.n_fft))
    real, imaginary = _multiply(graph, signals, rows, spectrum.n_fft, bins)
    rank = len(spectrum.shape)
    order = (*range(spectrum.dimension), rank - 1, *range(spectrum.dimension, rank - 1))
    parts = []
    for name in (real, imaginary):
        name = graph.transpose(graph.reshape(name, spectrum.shape), order)
        if spectrum.scale != 1.0:
            name = graph.add("Mul", name, graph.constant(spectrum.scale, "<f4"))
        parts.append(name)
    return Pair(*parts)


def _multiply(
    graph: GraphBuilder, signals: str, rows: int, n_fft: int, bins: int
) -> tuple[str, str]:
    """Return real and imaginary parts ``(rows, bins)`` of signals ``(rows, n_fft)``."""
    steps = split(n_fft, bins)
    if steps is None:
        both = graph.add("MatMul", signals, graph.constant(direct_matrix(n_fft, bins), "<f4"))
        return graph.slice(both, 1, 0, bins), graph.slice(both, 1, bins, 2 * bins)
    n1, n2, k2 = steps.n1, steps.n2, steps.k2
    squares = graph.reshape(signals, (rows, n1, n2))
    partial = graph.add("MatMul", graph.constant(steps.first, "<f4"), squares)
    partial = graph.transpose(graph.reshape(partial, (rows, n1, 2 * n2)), (1, 0, 2))
    if steps.factors is not None:
        partial = _multiply_factors(graph, partial, steps.factors, n2)
    both = graph.add("MatMul", partial, graph.constant(steps.second, "<f4"))  # (n1, rows, 2 k2)
    both = graph.transpose(graph.reshape(both, (n1, rows, 2, k2)), (2, 1, 3, 0))
    both = graph.slice(graph.reshape(both, (2, rows, k2 * n1)), 2, 0, bins)
    real, imaginary = (graph.slice(both, 0, part, part + 1) for part in (0, 1))
    return graph.reshape(real, (rows, bins)), graph.reshape(imaginary, (rows, bins))


def _multiply_factors(graph: GraphBuilder, partial: str, factors: Matrix, n2: int) -> str:
    """Multiply ``(n1, rows, 2 n2)``, real parts first, by ``cosine - i sine``."""
    cosine, sine = (graph.constant(part, "<f4") for part in factors)
    real, imaginary = graph.slice(partial, 2, 0, n2), graph.slice(partial, 2, n2, 2 * n2)
    parts = [
        graph.add(operator, graph.add("Mul", first, cosine), graph.add("Mul", second, sine))
        for operator, first, second in (("Add", real, imaginary), ("Sub", imaginary, real))
    ]
    return graph.add("Concat", *parts, axis=2)


def _view_as_real(call: Call) -> Value:
    return as_pair(call.graph, call.tensor(0))


def _real(call: Call) -> Value:
    return as_pair(call.graph, call.tensor(0)).real


def _imaginary(call: Call) -> Value:
    return as_pair(call.graph, call.tensor(0)).imaginary


FOURIER: dict[str, Translator] = {
    "_fft_r2c": _transform,
    "view_as_real": _view_as_real,
    "view_as_real_copy": _view_as_real,
    "real": _real,
    "imag": _imaginary,
}
