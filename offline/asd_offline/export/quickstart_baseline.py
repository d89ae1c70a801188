"""Compare a trained detector with the quick-start baseline on injected faults.

Faults are added to held-out normal clips of one target. Both detectors are fitted on its other
clips, and compared by how well they separate the clips with faults from those without.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from asd_monitor import quickstart
from asd_monitor.audio.files import read_recording
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.errors import ConfigError
from asd_monitor.synthesis.faults import FAULTS, FaultContext, add_fault
from asd_offline.datasets.targets import Target
from asd_offline.evaluation.metrics import auc
from asd_offline.recipes import Recipe
from asd_offline.synth.seeds import derive_seed

LEVELS_DB = (-6.0, -12.0)
SHAFT_HZ = (12.0, 30.0)
MAX_CLIPS = 12
MAX_CLIP_S = 30.0
AUC_TIE_MARGIN = 0.01
"""Mean AUCs closer than this count as equal."""

Samples = npt.NDArray[np.float32]
ScoreClip = Callable[[Samples], float]


@dataclass(frozen=True)
class Comparison:
    """Mean AUC over the levels, by kind of fault."""

    trained: dict[str, float]
    quickstart: dict[str, float]
    clips: int
    """Held-out clips, each used without and with every fault."""

    @property
    def means(self) -> tuple[float, float]:
        """Mean over kinds, of the trained detector and of the quick start."""
        return fmean(self.trained.values()), fmean(self.quickstart.values())

    @property
    def verdict(self) -> str:
        """The result in one sentence, whose subject is the model."""
        trained, baseline = self.means
        is_better = trained > baseline + AUC_TIE_MARGIN
        advice = "" if is_better else "; `asd-monitor learn` is as good or better"
        levels = " and ".join(f"{level_db:g}" for level_db in LEVELS_DB)
        return (
            f"{'beats' if is_better else 'does not beat'} the quick-start detector: mean AUC "
            f"{trained:.3f} against {baseline:.3f} over {len(self.trained)} kinds of injected "
            f"fault at {levels} dB in {self.clips} held-out clips{advice}"
        )

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-ready dict."""
        return {
            "verdict": self.verdict,
            "levels_db": list(LEVELS_DB),
            "clips": self.clips,
            "auc": self.trained,
            "auc_quickstart": self.quickstart,
        }


def compare_with_quickstart(
    detector: nn.Module, index: int, target: Target, recipe: Recipe
) -> Comparison | None:
    """Compare a fitted detector with a quick start on the same clips.

    Parameters
    ----------
    detector
        ``(batch, window_samples), (batch,) -> (batch,)``, on the CPU.
    index
        Index of the target in the detector.
    target
        Faults are added to its held-out clips.

    Returns
    -------
    Comparison or None
        None if there is too little sound for a quick start.

    Raises
    ------
    SourceError
        If a clip cannot be read.
    """
    rate_hz = recipe.sample_rate_hz
    recordings = [
        quickstart.Recording(clip.name, read_recording(clip.path, rate_hz)) for clip in target.clips
    ]
    try:
        fitted = quickstart.fit(recordings, target=target.name, sample_rate_hz=rate_hz)
    except ConfigError:
        return None
    baseline = fitted.manifest
    clips = _read_clips(target, max(recipe.window_samples, baseline.window_samples), rate_hz)
    score_trained = _clip_scorer(detector, index, recipe.window_samples, recipe.hop_samples)
    score_baseline = _clip_scorer(fitted.module, 0, baseline.window_samples, baseline.hop_samples)
    return Comparison(
        _auc_by_kind(score_trained, clips, rate_hz),
        _auc_by_kind(score_baseline, clips, rate_hz),
        len(clips),
    )


def _read_clips(target: Target, min_samples: int, rate_hz: int) -> list[Samples]:
    """Return held-out clips, evenly thinned and shortened if there is much sound."""
    held_out = target.held_out
    spaced = np.linspace(0, len(held_out) - 1, min(len(held_out), MAX_CLIPS))
    clips: list[Samples] = []
    for index in np.unique(spaced.round().astype(int)):
        samples = read_recording(held_out[index].path, rate_hz, min_samples=min_samples)
        clips.append(samples[: max(min_samples, int(MAX_CLIP_S * rate_hz))])
    return clips


def _auc_by_kind(score: ScoreClip, clips: Sequence[Samples], rate_hz: int) -> dict[str, float]:
    """Return the mean AUC over levels for each kind of fault; every call adds the same faults."""
    normal = [score(clip) for clip in clips]
    labels = [0] * len(normal) + [1] * len(normal)
    by_kind = {}
    for kind in FAULTS:
        aucs = []
        for level_db in LEVELS_DB:
            anomalous = [
                score(_with_fault(kind, level_db, number, clip, rate_hz))
                for number, clip in enumerate(clips)
            ]
            aucs.append(auc(labels, normal + anomalous))
        by_kind[kind] = float(np.mean(aucs))
    return by_kind


def _with_fault(kind: str, level_db: float, number: int, clip: Samples, rate_hz: int) -> Samples:
    random = np.random.default_rng(derive_seed(kind, level_db, number))
    shaft_hz = float(random.uniform(*SHAFT_HZ))
    context = FaultContext(clip.astype(np.float64), rate_hz, shaft_hz, level_db, random)
    return np.clip(add_fault(kind, context).sound, -1.0, 1.0).astype(np.float32)


def _clip_scorer(module: nn.Module, index: int, window_samples: int, hop_samples: int) -> ScoreClip:
    """Return a function that scores a clip by the mean of its windows' scores."""

    def score(samples: Samples) -> float:
        windows = torch.from_numpy(clip_windows(samples, window_samples, hop_samples).copy())
        with torch.inference_mode():
            scores = module(windows, torch.full((len(windows),), index))
        return float(scores.double().mean())

    return score
