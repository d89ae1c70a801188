"""Keep windows without sound out of training, memory banks and calibration.

The monitor does not score windows that are silent, stuck or not finite (those of a muted microphone
or a broken cable), and a detector that is fitted to them scores real sound wrongly. Clips without a
usable window are left out, and of the others the usable stretches are used.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asd_monitor.audio.constant_runs import MIN_CONSTANT_SAMPLES
from asd_monitor.audio.quality import MAX_SAMPLE, assess
from asd_monitor.errors import DatasetError
from asd_monitor.records import SCORED_QUALITIES, FloatArray
from asd_offline.datasets.audio_files import read_training_channels
from asd_offline.datasets.clip import Clip
from asd_offline.datasets.targets import MIN_CLIPS, target_name
from asd_offline.features.cache import FeatureCache
from asd_offline.recipes import Recipe
from asd_offline.training.clip_parts import clip_parts, part_name

MAX_LISTED = 10


class WindowQuality:
    """A front end for the feature cache: for each window of a clip, 1 if it can be scored, or 0.

    The last window ends with the clip.
    """

    def __init__(self, sample_rate_hz: int, window_samples: int, hop_samples: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.dims = 1
        self._window_samples, self._hop_samples = window_samples, hop_samples

    def __call__(self, waveform: Tensor) -> Tensor:
        """Return ``(1, windows, 1)`` of ``(1, samples)``."""
        samples = waveform[0].numpy()
        last = max(len(samples) - self._window_samples, 0)
        starts = [*range(0, last, self._hop_samples), last]
        windows = (samples[start : start + self._window_samples] for start in starts)
        usable = [assess(window).quality in SCORED_QUALITIES for window in windows]
        return torch.tensor(usable, dtype=torch.float32).reshape(1, -1, 1)

    def describe(self) -> dict[str, object]:
        """Return all settings that affect the result."""
        return {
            "front_end": "window_quality",
            "sample_rate_hz": self.sample_rate_hz,
            "window_samples": self._window_samples,
            "hop_samples": self._hop_samples,
            "max_sample": MAX_SAMPLE,
            "min_constant_samples": MIN_CONSTANT_SAMPLES,
            "revision": 1,
        }


def keep_usable_sound(
    clips: Sequence[Clip], recipe: Recipe, features: FeatureCache, folder: Path
) -> tuple[list[Clip], list[str]]:
    """Leave out training clips, or parts of them, whose windows cannot be scored.

    Parameters
    ----------
    clips
        Training clips of all targets.
    recipe
        The resolved recipe.
    features
        Cache of the windows' quality.
    folder
        Where stretches of clips are kept; existing ones are used again.

    Returns
    -------
    tuple
        The clips, and sentences for the user that list what was left out.

    Raises
    ------
    DatasetError
        If a target has too few clips with sound.
    SourceError
        If a clip cannot be read.
    RunError
        If the stretches cannot be written.
    """
    front_end = WindowQuality(recipe.sample_rate_hz, recipe.window_samples, recipe.hop_samples)
    quality = features.rows([clip.path for clip in clips], front_end)
    result: list[Clip] = []
    left_out: list[Clip] = []
    shortened: list[Clip] = []
    for index, clip in enumerate(clips):
        if bool(quality.of(index).all()):
            result.append(clip)
            continue
        stretches = list(_cut(clip, recipe, folder))
        result += stretches
        (shortened if stretches else left_out).append(clip)
    _check_targets(clips, result, left_out)
    notes = []
    if left_out:
        notes.append(
            "left out, because silent, stuck or not finite: "
            f"{len(left_out)} of {len(clips)} training clips ({_list_names(left_out)})"
        )
    if shortened:
        notes.append(
            "used without the parts that are silent, stuck or not finite: "
            f"{len(shortened)} of {len(clips)} training clips ({_list_names(shortened)})"
        )
    return result, notes


def usable_stretches(samples: FloatArray, min_samples: int) -> list[tuple[int, int]]:
    """Return (start, end) of the stretches without constant runs and values that are no audio.

    Parameters
    ----------
    samples
        ``(n,)`` float32.
    min_samples
        Shorter stretches are not returned.
    """
    bad = ~(np.abs(samples) <= MAX_SAMPLE)  # also true for NaN
    equal = np.concatenate([[False], samples[1:] == samples[:-1], [False]])
    shortest_run = min(MIN_CONSTANT_SAMPLES, min_samples)
    for start, end in _runs(equal):  # its first sample equals the one before
        if end - start + 1 >= shortest_run:
            bad[start - 1 : end] = True
    return [(start, end) for start, end in _runs(~bad) if end - start >= min_samples]


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return (start, end) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _check_targets(clips: Sequence[Clip], usable: Sequence[Clip], left_out: Sequence[Clip]) -> None:
    before = Counter(target_name(clip) for clip in clips)
    after = Counter(target_name(clip) for clip in usable)
    for name, count in before.items():
        if after[name] < MIN_CLIPS <= count:
            silent = [clip for clip in left_out if target_name(clip) == name]
            msg = (
                f"{name}: expected at least {MIN_CLIPS} training clips with sound, found "
                f"{after[name]}: {len(silent)} of {count} are silent, stuck or not finite "
                f"({_list_names(silent)}); record again with a working microphone"
            )
            raise DatasetError(msg)


def _list_names(clips: Sequence[Clip]) -> str:
    names = ", ".join(clip.name for clip in clips[:MAX_LISTED])
    return names + (f" and {len(clips) - MAX_LISTED} more" if len(clips) > MAX_LISTED else "")


def _cut(clip: Clip, recipe: Recipe, folder: Path) -> Iterator[Clip]:
    """Yield the usable stretches of a clip that are as long as a window, as clips."""
    import soundfile

    samples = read_training_channels(clip.path, recipe.sample_rate_hz, recipe.input_channels)
    stretches = usable_stretches(samples[0], recipe.window_samples)

    def write(parts: Path) -> None:
        for index, (start, end) in enumerate(stretches):
            path = parts / part_name(index)
            soundfile.write(path, samples[:, start:end].T, recipe.sample_rate_hz, "FLOAT")

    if stretches:
        settings = f"usable {recipe.sample_rate_hz} {recipe.window_samples} {recipe.input_channels}"
        yield from clip_parts(clip, folder, settings, len(stretches), write)
