"""Does a trained detector hear faults better than the quick start? Measured, not assumed.

Faults are put into held-out normal clips of one target. Both detectors were fitted on its other
clips; how well each tells the faulty clips from the held-out ones as they are is compared.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from asd_monitor import quickstart
from asd_monitor.audio.files import read_recording
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.errors import ConfigError
from asd_offline.datasets.targets import Target
from asd_offline.evaluation.metrics import auc
from asd_offline.recipes import Recipe
from asd_offline.synth.fault_injection import add_fault
from asd_offline.synth.faults import FAULTS, FaultContext
from asd_offline.synth.seeds import derive_seed

LEVELS_DB = (-6.0, -12.0)
CLIPS_AT_MOST = 12
LONGEST_S = 30.0
DRAW = 0.01
"""Mean AUCs closer than this count as equal."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """Mean AUC by kind of fault, over the levels."""

    trained: dict[str, float]
    quickstart: dict[str, float]
    clips: int
    """Held-out clips, each of them as it is and with every fault."""

    @property
    def means(self) -> tuple[float, float]:
        """Mean over kinds: of the trained detector and of the quick start."""
        return float(np.mean([*self.trained.values()])), float(np.mean([*self.quickstart.values()]))

    @property
    def verdict(self) -> str:
        """What to make of it, in one sentence."""
        mine, other = self.means
        word = "beats" if mine > other + DRAW else "does not beat"
        advice = "" if mine > other + DRAW else "; `asd-monitor learn` serves as well or better"
        kinds = f"{len(self.trained)} kinds of injected fault at {LEVELS_DB[0]:g} and"
        return (
            f"{word} the quick-start detector: mean AUC {mine:.3f} against {other:.3f} over "
            f"{kinds} {LEVELS_DB[1]:g} dB in {self.clips} held-out clips{advice}"
        )

    def to_dict(self) -> dict[str, object]:
        """Return JSON-ready values."""
        return {
            "verdict": self.verdict,
            "levels_db": list(LEVELS_DB),
            "clips": self.clips,
            "auc": self.trained,
            "auc_quickstart": self.quickstart,
        }


def compare_with_quickstart(
    detector: nn.Module, place: int, target: Target, recipe: Recipe
) -> Comparison | None:
    """Compare a fitted detector with a quick start on the same clips.

    Parameters
    ----------
    detector
        ``(batch, window_samples), (batch,) -> (batch,)``, on the CPU.
    place
        Of the target in the detector.
    target
        Whose held-out clips get the faults.

    Returns
    -------
    Comparison or None
        None where there is too little sound for a quick start.

    Raises
    ------
    SourceError
        If a clip cannot be read.
    """
    rate_hz = recipe.sample_rate_hz
    sound = [
        quickstart.Recording(clip.name, read_recording(clip.path, rate_hz)) for clip in target.clips
    ]
    try:
        fitted = quickstart.fit(sound, target=target.name, sample_rate_hz=rate_hz)
    except ConfigError:
        return None
    scorers = [
        _clip_score(detector, place, recipe.window_samples, recipe.hop_samples),
        _clip_score(fitted.module, 0, fitted.manifest.window_samples, fitted.manifest.hop_samples),
    ]
    chosen = np.linspace(0, len(target.held_out) - 1, min(len(target.held_out), CLIPS_AT_MOST))
    least = max(recipe.window_samples, fitted.manifest.window_samples)
    normals: list[Samples] = []
    for index in np.unique(chosen.round().astype(int)):
        samples = read_recording(target.held_out[index].path, rate_hz, min_samples=least)
        normals.append(samples[: max(least, int(LONGEST_S * rate_hz))])
    trained, other = (_auc_by_kind(scorer, normals, rate_hz) for scorer in scorers)
    return Comparison(trained, other, len(normals))


def _auc_by_kind(
    score: Callable[[Samples], float], normals: Sequence[Samples], rate_hz: int
) -> dict[str, float]:
    """Return the mean AUC over levels for each kind; the same faults on every call."""
    clean = [score(each) for each in normals]
    found: dict[str, list[float]] = defaultdict(list)
    for kind in FAULTS:
        for level_db in LEVELS_DB:
            faulty = [
                score(_with_fault(kind, level_db, place, each, rate_hz))
                for place, each in enumerate(normals)
            ]
            labels = [0] * len(clean) + [1] * len(faulty)
            found[kind].append(auc(labels, clean + faulty))
    return {kind: float(np.mean(each)) for kind, each in found.items()}


def _with_fault(kind: str, level_db: float, place: int, normal: Samples, rate_hz: int) -> Samples:
    random = np.random.default_rng(derive_seed(kind, level_db, place))
    shaft_hz = float(random.uniform(12.0, 30.0))
    scene = FaultContext(normal.astype(np.float64), rate_hz, shaft_hz, level_db, random)
    return np.clip(add_fault(kind, scene).sound, -1.0, 1.0).astype(np.float32)


def _clip_score(
    module: nn.Module, place: int, window_samples: int, hop_samples: int
) -> Callable[[Samples], float]:
    """Return what scores a clip: the mean of its windows' scores."""

    def score(samples: Samples) -> float:
        windows = torch.from_numpy(clip_windows(samples, window_samples, hop_samples).copy())
        with torch.inference_mode():
            scores = module(windows, torch.full((len(windows),), place))
        return float(scores.double().mean())

    return score
