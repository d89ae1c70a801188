"""Score clips with a detector that is not exported yet: for calibration and for the AUC picture."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from asd_monitor.audio.files import read_recording
from asd_monitor.audio.quality import assess
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.detection.detector import aggregate
from asd_monitor.errors import SourceError
from asd_monitor.records import SCORED_QUALITIES
from asd_offline.datasets.clip import ANOMALY, NORMAL, Clip
from asd_offline.datasets.targets import target_name
from asd_offline.evaluation.metrics import auc
from asd_offline.recipes import Recipe

if TYPE_CHECKING:
    from asd_monitor.records import FloatArray

BATCH = 16


def window_scores(
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
        Place of the clip's target in the detector.
    hop_samples
        How far apart the windows start; a whole window, so that none overlap, if None.

    Returns
    -------
    numpy.ndarray
        ``(windows,)`` float64; silent and broken windows, which the monitor does not score
        either, are left out.
    """
    size = recipe.window_samples
    samples = read_recording(path, recipe.sample_rate_hz, min_samples=size)
    windows = clip_windows(samples, size, hop_samples or size)
    usable = [each for each in windows if assess(each).quality in SCORED_QUALITIES]
    scores = [_score(detector, batch, target, device) for batch in _batches(usable)]
    return np.concatenate([np.empty(0), *scores])


def _batches(windows: "Sequence[FloatArray]") -> "Iterator[FloatArray]":
    for start in range(0, len(windows), BATCH):
        yield np.stack(windows[start : start + BATCH])


def _score(
    detector: nn.Module, windows: "FloatArray", target: int, device: torch.device
) -> npt.NDArray[np.float64]:
    with torch.inference_mode():
        waveform = torch.from_numpy(windows).to(device)
        places = torch.full((len(windows),), target, device=device)
        result: npt.NDArray[np.float64] = detector(waveform, places).double().cpu().numpy()
    return result


def labelled_auc(
    detector: nn.Module,
    targets: Sequence[str],
    clips: Iterable[Clip],
    recipe: Recipe,
    device: torch.device,
    leave_out: Callable[[Clip, SourceError], None],
) -> Mapping[str, float]:
    """Return the AUC of each target whose test clips have labels of both kinds.

    Parameters
    ----------
    leave_out
        Called with each clip that cannot be used, and why; the others count.
    """
    scores: dict[str, list[float]] = defaultdict(list)
    labels: dict[str, list[int]] = defaultdict(list)
    for clip in clips:
        name = target_name(clip)
        if clip.label is None or name not in targets:
            continue
        place = targets.index(name)
        try:
            values = window_scores(detector, clip.path, place, recipe, device, recipe.hop_samples)
        except SourceError as error:
            leave_out(clip, error)
            continue
        if len(values):
            scores[name].append(aggregate(values.tolist(), recipe.aggregation))
            labels[name].append(clip.label)
    both = {NORMAL, ANOMALY}
    return {name: auc(labels[name], scores[name]) for name in scores if set(labels[name]) == both}
