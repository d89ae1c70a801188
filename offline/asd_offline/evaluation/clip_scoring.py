"""Score clips with a detector that is not exported yet: for calibration and the training report."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from asd_monitor.audio.files import read_channels
from asd_monitor.audio.quality import assess, without_offset
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.detection.detector import aggregate
from asd_monitor.errors import SourceError
from asd_monitor.records import SCORED_QUALITIES, FloatArray
from asd_offline.datasets.clip import ANOMALY, NORMAL, Clip
from asd_offline.datasets.targets import target_name
from asd_offline.evaluation.metrics import auc
from asd_offline.recipes import Recipe

BATCH_SIZE = 16


def score_windows(
    detector: nn.Module,
    path: Path,
    target: int,
    recipe: Recipe,
    device: torch.device,
    hop_samples: int | None = None,
) -> npt.NDArray[np.float64]:
    """Score a clip's windows; higher = more anomalous.

    Parameters
    ----------
    target
        Index of the clip's target in the detector.
    hop_samples
        Distance between the starts of windows; the window's length if None.

    Returns
    -------
    numpy.ndarray
        ``(windows,)`` float64, without silent and broken windows, which the monitor does not score
        either.
    """
    size = recipe.window_samples
    usable = usable_windows(path, recipe, hop_samples or size)
    scores = [np.empty(0)]
    for start in range(0, len(usable), BATCH_SIZE):
        batch = torch.from_numpy(np.stack(usable[start : start + BATCH_SIZE])).to(device)
        targets = torch.full((len(batch),), target, device=device)
        with torch.inference_mode():
            scores.append(detector(batch, targets).double().cpu().numpy())
    return np.concatenate(scores)


def usable_windows(path: Path, recipe: Recipe, hop_samples: int) -> list[FloatArray]:
    """Return the windows of a clip that the monitor would score, each without its offset.

    Each is ``(window_samples,)``, or ``(channels, window_samples)`` if the recipe uses several
    channels; the first decides whether it is scored.
    """
    size = recipe.window_samples
    samples = read_channels(path, recipe.sample_rate_hz, recipe.input_channels, min_samples=size)
    windows = clip_windows(samples, size, hop_samples)  # (count, channels, size)
    usable = [
        np.stack([without_offset(channel) for channel in window])
        for window in windows
        if assess(window[0]).quality in SCORED_QUALITIES
    ]
    return usable if len(recipe.input_channels) > 1 else [window[0] for window in usable]


def compute_aucs(
    detector: nn.Module,
    targets: Sequence[str],
    clips: Iterable[Clip],
    recipe: Recipe,
    device: torch.device,
    on_unusable: Callable[[Clip, SourceError], None],
) -> Mapping[str, float]:
    """Compute the AUC of each target whose test clips have labels of both kinds.

    Parameters
    ----------
    on_unusable
        Called with each clip that cannot be used, and why; the others count.
    """
    scores: dict[str, list[float]] = defaultdict(list)
    labels: dict[str, list[int]] = defaultdict(list)
    for clip in clips:
        name = target_name(clip)
        if clip.label is None or name not in targets:
            continue
        index = targets.index(name)
        try:
            values = score_windows(detector, clip.path, index, recipe, device, recipe.hop_samples)
        except SourceError as error:
            on_unusable(clip, error)
            continue
        if len(values):
            scores[name].append(aggregate(values.tolist(), recipe.aggregation))
            labels[name].append(clip.label)
    both = {NORMAL, ANOMALY}
    return {name: auc(labels[name], scores[name]) for name in scores if set(labels[name]) == both}
