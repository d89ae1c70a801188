"""Segments of spectrograms: cut from windows, and laid back over one another."""

import torch
from torch import Tensor

from asd_monitor.errors import ConfigError
from asd_offline.features.cache import ClipRows
from asd_offline.recipes import Recipe


def check_window(segment_frames: int, hop_length: int, recipe: Recipe) -> None:
    """Raise ConfigError unless a window of the recipe has as many frames as a segment."""
    frames = recipe.window_samples // hop_length + 1
    if frames < segment_frames:
        rate = recipe.sample_rate_hz
        needed_s = (segment_frames - 1) * hop_length / rate
        msg = (
            f"{recipe.model}: expected windows of at least {segment_frames} frames "
            f"({needed_s:.4g} s), found {frames} ({recipe.window_samples / rate:.4g} s); use "
            "longer clips, or a smaller hop_length in the recipe"
        )
        raise ConfigError(msg)


def segment_starts(clips: ClipRows, frames: int, hop: int) -> Tensor:
    """Return the rows ``(segments,)`` int64 where segments of clips begin.

    Each clip's last segment ends with the clip. Clips shorter than a segment give none.
    """
    spans = []
    for first, count in zip(clips.first.tolist(), clips.count.tolist(), strict=True):
        if count >= frames:
            spans.append(first + starts_within(count, frames, hop))
    return torch.cat(spans) if spans else torch.zeros(0, dtype=torch.int64)


def starts_within(count: int, frames: int, hop: int) -> Tensor:
    """Return where segments begin in ``count`` frames, the last one ending with them."""
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
        Segments ``(batch, segments, frames, bands)``, and where they begin ``(segments,)``.
    """
    starts = starts_within(spectrogram.shape[1], frames, hop).to(spectrogram.device)
    places = starts.unsqueeze(1) + torch.arange(frames, device=spectrogram.device)
    return spectrogram[:, places], starts


def overlap_mean(segments: Tensor, starts: Tensor, count: int) -> Tensor:
    """Lay segments back; where they overlap, the mean.

    Parameters
    ----------
    segments
        ``(batch, segments, frames, bands)``.
    starts
        ``(segments,)`` int64.
    count
        Frames of the result.

    Returns
    -------
    torch.Tensor
        ``(batch, count, bands)``.
    """
    batch, number, frames, bands = segments.shape
    places = (starts.unsqueeze(1) + torch.arange(frames, device=segments.device)).flatten()
    total = torch.zeros(batch, count, bands, device=segments.device, dtype=segments.dtype)
    total.index_add_(1, places, segments.reshape(batch, number * frames, bands))
    heard = torch.zeros(count, device=segments.device, dtype=segments.dtype)
    heard.index_add_(0, places, torch.ones_like(places, dtype=segments.dtype))
    return total / heard.clamp_min(1.0).unsqueeze(1)
