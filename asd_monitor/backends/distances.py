"""Distances between feature vectors and a bank of reference vectors."""

import torch
from torch import Tensor


def squared_lengths(vectors: Tensor) -> Tensor:
    """Return ``(items,)`` of ``(items, dims)``."""
    return (vectors * vectors).sum(1)


def euclidean(features: Tensor, bank: Tensor, bank_squares: Tensor) -> Tensor:
    """Return the distances ``(batch, items)`` from ``(batch, dims)`` to ``(items, dims)``.

    One matrix product; differences below about 1e-3 of the vectors' length are lost to rounding.

    Parameters
    ----------
    bank_squares
        ``(items,)``: what :func:`squared_lengths` gives for the bank, which does not change.
    """
    squares = squared_lengths(features)[:, None] + bank_squares
    return torch.addmm(squares, features, bank.t(), alpha=-2.0).clamp_min(0.0).sqrt()


def among_references(bank: Tensor, groups: Tensor | None) -> Tensor:
    """Return the distances ``(items, items)`` within a bank, infinite inside a group.

    Parameters
    ----------
    bank
        ``(items, dims)`` reference vectors.
    groups
        ``(items,)`` integers: items of the same group are not neighbours of one another; or
        ``(items, items)`` booleans, True where two items must not be neighbours. None: every
        item is its own group.
    """
    exact = bank.double()  # near copies must not come out as equal, nor equal ones as apart
    between = euclidean(exact, exact, squared_lengths(exact)).to(bank.dtype)
    if groups is None:
        together = torch.eye(len(bank), dtype=torch.bool)
    elif groups.dim() == 1:
        together = groups[:, None] == groups[None, :]
    else:
        together = groups | torch.eye(len(bank), dtype=torch.bool)
    return between.masked_fill(together, torch.inf)


def usable_neighbours(between: Tensor, wanted: int) -> int:
    """Return how many neighbours every item has, at most ``wanted``.

    Raises
    ------
    ValueError
        If some item has no neighbour outside its group.
    """
    fewest = int(torch.isfinite(between).sum(1).min())
    if fewest < 1:
        msg = "expected reference vectors of at least two groups, found an item without neighbours"
        raise ValueError(msg)
    return min(wanted, fewest)
