"""Matched filters: search a feature vector for bumps of any place and width.

A faint fault often changes a few neighbouring bands by a little, which disappears in the distance
between whole vectors. The matched filter of a bump ``b`` in noise of covariance ``C`` is
``b' inverse(C) r``: of all linear statistics it has the best ratio of signal to noise (Turin 1960,
"An introduction to matched filters"). Here ``r`` is the difference of a vector from its nearest
normal neighbours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asd_monitor.backends.distances import squared_lengths
from asd_monitor.backends.mahalanobis import ledoit_wolf_shrinkage

NEIGHBOURS = 4
FOLDS = 5
MIN_VARIANCE = 1e-3  # of a standardised difference
MIN_STD = 0.05  # of a logarithm of power: about 0.2 dB
OWN_SHARE = 0.8
"""Share of a filter's own scale; the rest is the mean scale, for filters that vary little."""
ROWS = 256
"""Items that are compared at a time while fitting, so that memory is bounded."""
MAX_RESPONSE = 1e6
"""In standard deviations: the fourth power of a larger one is beyond float32."""


class MatchedFilters(nn.Module):
    """Fourth-power mean of the responses of all filters, as a logarithm.

    Parameters
    ----------
    mean, std
        ``(dims,)`` of normal vectors.
    bank
        ``(items, dims)`` normal vectors, standardised.
    precision
        ``(dims, dims)`` inverse covariance of the differences, by which they are multiplied.
    bumps
        Rectangles of the filters in the vector as an image.
    scale
        ``(bumps,)`` standard deviation of the filters' responses to normal sound.
    """

    mean: Tensor
    inverse_std: Tensor
    bank: Tensor
    bank_squares: Tensor
    precision: Tensor
    corners: Tensor
    inverse_scale: Tensor

    def __init__(
        self,
        mean: Tensor,
        std: Tensor,
        bank: Tensor,
        precision: Tensor,
        bumps: "Bumps",
        scale: Tensor,
    ) -> None:
        super().__init__()
        self.rows, self.columns = bumps.rows, bumps.columns
        self.neighbours = min(NEIGHBOURS, len(bank))
        self.register_buffer("mean", mean)
        self.register_buffer("inverse_std", std.reciprocal())
        self.register_buffer("bank", bank)
        self.register_buffer("bank_squares", squared_lengths(bank))
        self.register_buffer("precision", precision)
        self.register_buffer("corners", bumps.corners)
        self.register_buffer("inverse_scale", scale.reciprocal())

    @torch.jit.unused
    def share_bank(self, bank: Tensor) -> None:
        """Use the tensor of an equal bank, up to rounding, instead of a copy."""
        if bank.shape != self.bank.shape:
            msg = f"expected a bank of shape {tuple(self.bank.shape)}, got {tuple(bank.shape)}"
            raise ValueError(msg)
        self.bank = bank

    def forward(self, features: Tensor) -> Tensor:
        """Return log scores ``(batch,)`` of features ``(batch, dims)``."""
        scaled = (features - self.mean) * self.inverse_std
        # The vector's own length changes no order.
        distances = self.bank_squares - 2.0 * scaled @ self.bank.t()
        nearest = torch.topk(distances, self.neighbours, dim=1, largest=False)[1]
        differences = scaled - self.bank[nearest].mean(1)
        weighted = (differences @ self.precision) * self.inverse_std
        responses = sum_rectangles(weighted, self.rows, self.columns, self.corners)
        return summarise_responses(responses * self.inverse_scale)


@dataclass(frozen=True)
class Bumps:
    """Rectangles within feature vectors that are images of ``rows`` times ``columns``."""

    rows: int
    columns: int
    corners: Tensor
    """``(4, bumps)``: places of the corners in a table of cumulative sums."""


def make_bumps(dims: int, rows: int) -> Bumps:
    """Return rectangles of many sizes, each shifted by half its size.

    Parameters
    ----------
    dims
        Length of a vector.
    rows
        Number of rows of the image that a vector is; 1: bands only.
    """
    columns = dims // rows
    heights = [height for height in (1, 2, 8) if height <= rows]
    widths = [1 << power for power in range(columns.bit_length())]
    if rows > 1:
        widths = [width for width in (1, 4, 10, 40) if width <= columns]
    stride = columns + 1
    corners = [
        [
            (top + height) * stride + left + width,
            top * stride + left + width,
            (top + height) * stride + left,
            top * stride + left,
        ]
        for height in heights
        for width in widths
        for top in range(0, rows - height + 1, max(1, height // 2))
        for left in range(0, columns - width + 1, max(1, width // 2))
    ]
    return Bumps(rows, columns, torch.tensor(corners).t().contiguous())


def sum_rectangles(vectors: Tensor, rows: int, columns: int, corners: Tensor) -> Tensor:
    """Return the sums ``(batch, bumps)`` of vectors ``(batch, dims)`` over rectangles."""
    image = vectors.reshape(vectors.shape[0], rows, columns)
    sums = torch.nn.functional.pad(image.cumsum(1).cumsum(2), (1, 0, 1, 0)).flatten(1)
    return sums[:, corners[0]] - sums[:, corners[1]] - sums[:, corners[2]] + sums[:, corners[3]]


def summarise_responses(responses: Tensor, largest: float = MAX_RESPONSE) -> Tensor:
    """Return the logarithm of the fourth-power mean ``(batch,)`` of ``(batch, bumps)``."""
    powers = responses.clamp(-largest, largest).square().square()
    return (powers.mean(1).sqrt().sqrt() + 0.1).log()


def fit_matched_filters(
    features: Tensor, bank: Tensor, excluded: Tensor, folds: Tensor, rows: int = 1
) -> tuple[MatchedFilters, Tensor]:
    """Fit the filters, and score the features that they are fitted to as held-out ones.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 of normal windows.
    bank
        Indices of the items that become the neighbours.
    excluded
        ``(items, items)``: True where two items must not be neighbours of each other.
    folds
        ``(items,)``: covariances for an item come from items of other folds.
    rows
        See :func:`make_bumps`.

    Returns
    -------
    MatchedFilters
        The filters.
    torch.Tensor
        ``(items,)`` log scores.
    """
    bumps = make_bumps(features.shape[1], rows)
    exact = features.double()
    mean = exact[bank].mean(0)
    std = (exact[bank].var(0, correction=0) + MIN_STD**2).sqrt()
    scaled = (exact - mean) / std
    differences = _differences(scaled, scaled[bank], excluded[:, bank])
    responses = torch.zeros(len(features), bumps.corners.shape[1], dtype=torch.float64)
    parts = folds % FOLDS
    for part in torch.unique(parts):
        held_out = parts == part
        precision = shrunk_precision(differences[~held_out] if not held_out.all() else differences)
        deviation = _deviations(precision, std, bumps)
        weighted = differences[held_out] @ precision / std
        responses[held_out] = (
            sum_rectangles(weighted, bumps.rows, bumps.columns, bumps.corners) / deviation
        )
    spread = responses.square().mean(0).sqrt()
    spread = (OWN_SHARE * spread + (1.0 - OWN_SHARE) * spread.mean()).clamp_min(1e-6)
    parts_of_scores = [summarise_responses(rows / spread) for rows in torch.split(responses, ROWS)]
    held_out_scores = torch.cat(parts_of_scores).float()
    precision = shrunk_precision(differences)
    scale = _deviations(precision, std, bumps) * spread
    filters = MatchedFilters(
        mean.float(), std.float(), scaled[bank].float(), precision.float(), bumps, scale.float()
    )
    return filters, held_out_scores


def _differences(scaled: Tensor, bank: Tensor, excluded: Tensor) -> Tensor:
    """Return the differences ``(items, dims)`` of vectors from the mean of their neighbours."""
    distances = 2.0 * scaled @ bank.t()
    torch.sub(squared_lengths(bank), distances, out=distances).masked_fill_(excluded, torch.inf)
    nearest = torch.topk(distances, min(NEIGHBOURS, len(bank)), dim=1, largest=False)[1]
    means = [bank[rows].mean(1) for rows in torch.split(nearest, ROWS)]
    return scaled - torch.cat(means)


def shrunk_precision(differences: Tensor) -> Tensor:
    """Return the inverse of the Ledoit-Wolf shrunk covariance ``(dims, dims)``."""
    items, dims = differences.shape
    covariance = differences.t() @ differences / items
    shrinkage = ledoit_wolf_shrinkage(differences)
    rest = shrinkage * float(covariance.diagonal().mean()) + MIN_VARIANCE
    identity = torch.eye(dims, dtype=torch.float64)
    precision: Tensor = torch.linalg.inv((1.0 - shrinkage) * covariance + rest * identity)
    return precision


def _deviations(precision: Tensor, std: Tensor, bumps: Bumps) -> Tensor:
    """Return the standard deviations ``(bumps,)`` of the filters' responses: ``sqrt(b' P b)``."""
    matrix = precision / (std[:, None] * std)
    half = sum_rectangles(matrix, bumps.rows, bumps.columns, bumps.corners)  # P b
    deviations: Tensor = _sum_own_rectangle(half.t(), bumps).clamp_min(1e-12).sqrt()  # b' P b
    return deviations


def _sum_own_rectangle(vectors: Tensor, bumps: Bumps) -> Tensor:
    """Return the sum ``(bumps,)`` of each vector ``(bumps, dims)`` over its own rectangle.

    This is the diagonal of :func:`sum_rectangles`, which has thousands of rows.
    """
    image = vectors.reshape(vectors.shape[0], bumps.rows, bumps.columns)
    sums = torch.nn.functional.pad(image.cumsum(1).cumsum(2), (1, 0, 1, 0)).flatten(1)
    own = sums.gather(1, bumps.corners.t())
    return own[:, 0] - own[:, 1] - own[:, 2] + own[:, 3]
