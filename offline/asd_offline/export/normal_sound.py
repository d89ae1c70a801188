"""Compute the statistics of normal sound that are stored in a model file."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from asd_monitor.audio.files import read_recording
from asd_monitor.audio.quality import assess
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.normal_sound.statistics import NormalSound, comparison_window_s
from asd_monitor.records import SCORED_QUALITIES
from asd_offline.datasets.targets import Target
from asd_offline.recipes import Recipe

MAX_CLIPS = 60


def fit_normal_sound(target: Target, recipe: Recipe) -> NormalSound:
    """Compute the statistics of a target's normal clips, or of evenly spaced ones of many."""
    window_s = comparison_window_s(recipe.window_samples / recipe.sample_rate_hz)
    return NormalSound.fit(_windows(target, recipe, window_s), recipe.sample_rate_hz, window_s)


def _windows(target: Target, recipe: Recipe, window_s: float) -> Iterator[npt.NDArray[np.float32]]:
    clips = [*target.clips, *target.held_out]
    indices = np.linspace(0, len(clips) - 1, min(len(clips), MAX_CLIPS)).round().astype(int)
    for index in indices:
        samples = read_recording(clips[index].path, recipe.sample_rate_hz)
        size = min(round(window_s * recipe.sample_rate_hz), len(samples))
        for window in clip_windows(samples, size, size):
            if assess(window).quality in SCORED_QUALITIES:
                yield window
