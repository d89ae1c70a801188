"""Discrete Fourier transforms of real signals as matrix products.

onnxruntime's own operator for them takes several times as long. A long transform is done in two
steps (Cooley and Tukey, 1965), whose matrices are small; the factors between the steps are part
of the second matrix.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]

MIN_GAIN = 5.0
"""A transform is split if it then needs this many times fewer multiplications: the second step
needs its input in another order, which takes time too."""
MAX_ELEMENTS = 2**19
"""Of the matrix of the second step, if it contains the factors between the steps."""


class TwoSteps(NamedTuple):
    """A transform of length ``n1 * n2`` in two steps; see :func:`split`."""

    n1: int
    n2: int
    k2: int
    """Frequencies of the second step: bin ``k1 + n1 * k2``."""
    first: Matrix
    """``(2 n1, n1)``: rows are real and imaginary part of each ``k1``."""
    second: Matrix
    """``(n1, 2 n2, 2 k2)``: of each ``k1``, real and imaginary parts to real and imaginary parts;
    or ``(2 n2, 2 k2)``, the same for all, after a multiplication by the factors."""
    factors: Matrix | None
    """``(2, n1, 1, n2)``: cosine and sine by which the first step is multiplied, if it is."""


def direct_matrix(n_fft: int, bins: int) -> Matrix:
    """Return ``(n_fft, 2 bins)``: the real parts of all bins, then the imaginary parts."""
    angles = _angles(np.arange(n_fft)[:, None] * np.arange(bins), n_fft)
    return np.concatenate([np.cos(angles), -np.sin(angles)], axis=1).astype(np.float32)


def split(n_fft: int, bins: int) -> TwoSteps | None:
    """Return the two steps of a transform whose first bins are needed, if that pays."""
    divisors = [n for n in range(2, n_fft // 2 + 1) if n_fft % n == 0]
    if not divisors:
        return None
    n1 = min(divisors, key=lambda n: _products(n_fft, bins, n))
    if MIN_GAIN * _products(n_fft, bins, n1) > 2 * bins * n_fft:
        return None
    n2, k2 = n_fft // n1, math.ceil(bins / n1)
    angles = _angles(np.arange(n1)[:, None] * np.arange(n1), n1)  # (k1, i1)
    first = np.stack([np.cos(angles), -np.sin(angles)], axis=1).reshape(2 * n1, n1)
    first = first.astype(np.float32)
    if 4 * k2 * n_fft <= MAX_ELEMENTS:
        frequency = np.arange(n1)[:, None, None] + n1 * np.arange(k2)  # (k1, 1, k2)
        second = _complex_product(np.arange(n2)[:, None] * frequency, n_fft)  # (k1, i2, k2)
        return TwoSteps(n1, n2, k2, first, second, None)
    second = _complex_product(np.arange(n2)[:, None] * np.arange(k2), n2)
    angles = _angles(np.arange(n1)[:, None, None] * np.arange(n2), n_fft)
    factors = np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    return TwoSteps(n1, n2, k2, first, second, factors)


def _complex_product(products: npt.NDArray[np.int64], n_fft: int) -> Matrix:
    """Return the matrix that multiplies complex rows, real parts first, by ``exp(-i angle)``."""
    angles = _angles(products, n_fft)
    cosine, sine = np.cos(angles), np.sin(angles)
    rows = [np.concatenate([cosine, -sine], axis=-1), np.concatenate([sine, cosine], axis=-1)]
    return np.concatenate(rows, axis=-2).astype(np.float32)


def _products(n_fft: int, bins: int, n1: int) -> int:
    return 2 * n1 * n_fft + 4 * math.ceil(bins / n1) * n_fft


def _angles(products: npt.NDArray[np.int64], n_fft: int) -> npt.NDArray[np.float64]:
    return np.asarray(2.0 * np.pi / n_fft * (products % n_fft), np.float64)
