"""Distances between feature vectors and a bank of reference vectors."""

import torch
from torch import Tensor


def squared_lengths(vectors: Tensor) -> Tensor:
    """Return the squared lengths ``(items,)`` of ``(items, dims)``."""
    return (vectors * vectors).sum(1)


def euclidean(features: Tensor, bank: Tensor, bank_squares: Tensor) -> Tensor:
    """Return the distances ``(batch, items)`` from ``(batch, dims)`` to ``(items, dims)``.

    It takes one matrix product; distances below about 1e-3 of the vectors' length are lost to
    rounding.

    Parameters
    ----------
    bank_squares
        ``(items,)``: :func:`squared_lengths` of the bank, computed once.
    """
    squares = squared_lengths(features)[:, None] + bank_squares
    return torch.addmm(squares, features, bank.t(), alpha=-2.0).clamp_min(0.0).sqrt()


def distances_within(bank: Tensor, groups: Tensor | None) -> Tensor:
    """Return the distances ``(items, items)`` within a bank; infinite within a group.

    Parameters
    ----------
    bank
        ``(items, dims)`` reference vectors.
    groups
        ``(items,)`` integers: items of the same group are not neighbours of each other; or
        ``(items, items)`` booleans: True where two items must not be neighbours. None: every
        item is its own group.
    """
    exact = bank.double()  # in float32, near copies might come out as equal and equal ones not
    distances = euclidean(exact, exact, squared_lengths(exact)).to(bank.dtype)
    if groups is None:
        excluded = torch.eye(len(bank), dtype=torch.bool)
    elif groups.dim() == 1:
        excluded = groups[:, None] == groups[None, :]
    else:
        excluded = groups | torch.eye(len(bank), dtype=torch.bool)
    return distances.masked_fill(excluded, torch.inf)


def count_usable_neighbours(distances: Tensor, max_count: int) -> int:
    """Return how many neighbours every item has, at most ``max_count``.

    Parameters
    ----------
    distances
        Result of :func:`distances_within`.

    Raises
    ------
    ValueError
        If an item has no neighbour outside its group.
    """
    min_neighbours = int(torch.isfinite(distances).sum(1).min())
    if min_neighbours < 1:
        msg = "expected reference vectors of at least two groups, found an item without neighbours"
        raise ValueError(msg)
    return min(max_count, min_neighbours)
