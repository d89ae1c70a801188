"""Cut spectrograms into segments, and average segments back into spectrograms."""

import torch
from torch import Tensor

from asd_monitor.errors import ConfigError
from asd_offline.features.cache import ClipRows
from asd_offline.recipes import Recipe


def check_window(segment_frames: int, hop_length: int, recipe: Recipe) -> None:
    """Raise ConfigError if a window of the recipe has fewer frames than a segment."""
    frames = recipe.window_samples // hop_length + 1
    if frames < segment_frames:
        rate_hz = recipe.sample_rate_hz
        needed_s = (segment_frames - 1) * hop_length / rate_hz
        msg = (
            f"{recipe.model}: expected windows of at least {segment_frames} frames "
            f"({needed_s:.4g} s), found {frames} ({recipe.window_samples / rate_hz:.4g} s); use "
            "longer clips, or a smaller hop_length in the recipe"
        )
        raise ConfigError(msg)


def segment_starts(clips: ClipRows, frames: int, hop: int) -> Tensor:
    """Return the rows ``(segments,)`` int64 at which the segments of clips start.

    The last segment of a clip ends with it. Clips shorter than a segment have none.
    """
    spans = [
        first + starts_within(count, frames, hop)
        for first, count in zip(clips.first.tolist(), clips.count.tolist(), strict=True)
        if count >= frames
    ]
    return torch.cat(spans) if spans else torch.zeros(0, dtype=torch.int64)


def starts_within(count: int, frames: int, hop: int) -> Tensor:
    """Return the starts of segments in ``count`` frames; the last segment ends with them."""
    starts = torch.arange(0, count - frames + 1, hop)
    last = count - frames
    if int(starts[-1]) != last:
        starts = torch.cat([starts, torch.full((1,), last, dtype=starts.dtype)])
    return starts


def clip_segments(spectrogram: Tensor, frames: int, hop: int) -> tuple[Tensor, Tensor]:
    """Cut spectrograms ``(batch, all frames, bands)`` into segments that cover every frame.

    Returns
    -------
    tuple
        Segments ``(batch, segments, frames, bands)``, and their starts ``(segments,)``.
    """
    starts = starts_within(spectrogram.shape[1], frames, hop).to(spectrogram.device)
    indices = starts.unsqueeze(1) + torch.arange(frames, device=spectrogram.device)
    return spectrogram[:, indices], starts


def overlap_mean(segments: Tensor, starts: Tensor, length: int) -> Tensor:
    """Average segments into one spectrogram, frame by frame.

    Parameters
    ----------
    segments
        ``(batch, segments, frames, bands)``.
    starts
        ``(segments,)`` int64.
    length
        Frames of the result.

    Returns
    -------
    torch.Tensor
        ``(batch, length, bands)``.
    """
    batch, number, frames, bands = segments.shape
    indices = (starts.unsqueeze(1) + torch.arange(frames, device=segments.device)).flatten()
    total = torch.zeros(batch, length, bands, device=segments.device, dtype=segments.dtype)
    total.index_add_(1, indices, segments.reshape(batch, number * frames, bands))
    count = torch.zeros(length, device=segments.device, dtype=segments.dtype)
    count.index_add_(0, indices, torch.ones_like(indices, dtype=segments.dtype))
    return total / count.clamp_min(1.0).unsqueeze(1)
