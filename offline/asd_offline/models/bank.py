"""The normal vectors that a backend is fitted on: of all clips, at most a given number."""

from collections.abc import Sequence

import torch
from torch import Tensor


def evenly_spaced(count: int, max_count: int) -> Tensor:
    """Return at most ``max_count`` evenly spaced indices below ``count``, int64."""
    return torch.linspace(0, count - 1, min(count, max_count)).round().long()


def join_clips(clips: Sequence[Tensor], max_rows: int) -> tuple[Tensor, Tensor]:
    """Concatenate the rows of clips and thin them out evenly.

    Parameters
    ----------
    clips
        Rows ``(rows, dims)`` of each clip.
    max_rows
        Maximum number of rows, of all clips together.

    Returns
    -------
    tuple
        Rows ``(items, dims)`` and the index ``(items,)`` int64 of each row's clip.
    """
    rows = torch.cat(list(clips))
    clip_of_row = torch.repeat_interleave(torch.tensor([len(clip) for clip in clips]))
    chosen = evenly_spaced(len(rows), max_rows)
    return rows[chosen], clip_of_row[chosen]
