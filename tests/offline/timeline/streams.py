"""Streams of noise for the toy model, and window scores without sound."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.records import Quality, WindowScore
from tests.rig.toy_model import RATE_HZ


def write_levels(path: Path, parts: Sequence[tuple[float, float]], seed: int = 0) -> None:
    """Write white noise whose level is given by pairs of seconds and dBFS."""
    random = np.random.default_rng(seed)
    sound = [
        10 ** (level_dbfs / 20) * random.standard_normal(round(seconds * RATE_HZ))
        for seconds, level_dbfs in parts
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(np.concatenate(sound), -1, 1), RATE_HZ, subtype="PCM_16")


def make_score(index: int, value: float, rule: DecisionRule) -> WindowScore:
    """Return the score of one of a row of adjacent windows."""
    return WindowScore(
        machine="timeline",
        seq=index,
        window_start=index * rule.window_samples,
        captured_at=(index + 1) * rule.window_samples / rule.sample_rate_hz,
        quality=Quality.OK,
        value=value,
        p_value=None,
        extrapolated=False,
        threshold=rule.threshold,
        level_dbfs=None,
        lost_samples=0,
        inference_s=0.0,
    )
