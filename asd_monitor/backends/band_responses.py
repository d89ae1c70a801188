"""Band responses: how far some neighbouring bands are above or below those of normal sound.

A faint steady fault, as a leak or a tone, changes the same few bands by a little all the time. A
distance has no sign: the differences of two windows in opposite directions add up in its mean as
those in the same direction do. The response of a matched filter is linear. Its mean over minutes
keeps what is constant, and what varies at random cancels out.
"""

import torch
from torch import Tensor, nn

from asd_monitor.backends.matched_filters import MIN_STD, shrunk_precision

WIDTHS = (4, 16)
"""Numbers of neighbouring bands."""
MARGIN = 1.1
"""Responses to new sound are divided by this. Scales are fitted to the same held-out responses that
limits are fitted to, and the bands that vary least by chance would be too sensitive."""


class BandResponses(nn.Module):
    """Responses of matched filters and their negatives, in standard deviations of a block.

    Parameters
    ----------
    mean
        ``(dims,)`` of normal vectors.
    filters
        ``(dims, responses)``.
    """

    mean: Tensor
    filters: Tensor

    def __init__(self, mean: Tensor, filters: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("filters", filters)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(batch, 2 * responses)`` of ``(batch, dims)``."""
        responses = torch.matmul(features - self.mean, self.filters)
        return torch.cat([responses, -responses], dim=1)


def response_bands(dims: int) -> list[tuple[int, int]]:
    """Return the first and the last band of every filter; :class:`BandResponses` has each twice."""
    return [
        (first, first + width - 1)
        for width in WIDTHS
        if width <= dims
        for first in range(0, dims - width + 1, width)
    ]


def fit_band_responses(
    features: Tensor, blocks: Tensor, folds: Tensor
) -> tuple[BandResponses, Tensor]:
    """Fit to blocks of normal windows, and compute the responses to held-out windows.

    The covariance is that of the means of blocks: what differs from one block to the next matters,
    and not what cancels out within a block.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 of normal windows that do not overlap.
    blocks
        ``(items,)``: number of the block of each window; in two folds at least.
    folds
        ``(items,)``: mean and covariance for a window come from windows of other folds.

    Returns
    -------
    BandResponses
        The filters.
    torch.Tensor
        ``(items, 2 * responses)``.
    """
    bumps = _make_bumps(features.shape[1])
    exact = features.double()
    std = (_average(exact, blocks).var(0, correction=0) + MIN_STD**2).sqrt()
    held_out = torch.zeros(len(features), bumps.shape[1], dtype=torch.float64)
    for fold in torch.unique(folds):
        inside = folds == fold
        mean, filters = _fit_filters(_average(exact[~inside], blocks[~inside]), std, bumps)
        held_out[inside] = (exact[inside] - mean) @ filters
    scale = _average(held_out, blocks).square().mean(0).sqrt().clamp_min(1e-6)
    mean, filters = _fit_filters(_average(exact, blocks), std, bumps)
    fitted = BandResponses(mean.float(), (filters / (MARGIN * scale)).float())
    held_out = held_out / scale
    return fitted, torch.cat([held_out, -held_out], dim=1).float()


def _average(values: Tensor, blocks: Tensor) -> Tensor:
    """Return the means ``(blocks, columns)`` of ``(items, columns)``."""
    _, numbers, counts = torch.unique(blocks, return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), values.shape[1], dtype=values.dtype)
    means: Tensor = sums.index_add_(0, numbers, values) / counts[:, None]
    return means


def _make_bumps(dims: int) -> Tensor:
    """Return ``(dims, responses)``: 1 in the bands of each filter, and 0 elsewhere."""
    bands = response_bands(dims)
    bumps = torch.zeros(dims, len(bands), dtype=torch.float64)
    for number, (first, last) in enumerate(bands):
        bumps[first : last + 1, number] = 1.0
    return bumps


def _fit_filters(means: Tensor, std: Tensor, bumps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean ``(dims,)`` and the filters ``(dims, responses)`` of means of blocks."""
    mean = means.mean(0)
    precision = shrunk_precision((means - mean) / std)
    filters = precision / (std[:, None] * std) @ bumps
    deviations = (bumps * filters).sum(0).clamp_min(1e-12).sqrt()
    return mean, filters / deviations
