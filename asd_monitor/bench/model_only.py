"""The yardstick: the model alone, called in a loop, with nothing around it."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd_monitor import model_file
from asd_monitor.audio.files import read_recording
from asd_monitor.audio.windowing import clip_windows

PAUSE_S = 0.25
"""Between two calls at a slow pace: long enough for other programs to fill the caches."""


@dataclass(frozen=True, slots=True)
class BareModel:
    """How long the scripted model takes for a window, one at a time, on one thread."""

    looped_s: float
    """Processor time a window, one right after the other: the least mean of all rounds."""
    paced_s: float
    """Processor time a window with pauses between, when caches have gone cold: the median."""
    hop_s: float

    @classmethod
    def measure(cls, model: Path, sound: Path, *, rounds: int, paced: int) -> "BareModel":
        """Score all windows of the sound so many times over, then some with pauses."""
        import torch

        scorer = model_file.load(model, "cpu")
        manifest = scorer.manifest
        samples = read_recording(sound, manifest.sample_rate_hz)
        views = clip_windows(samples, manifest.window_samples, manifest.hop_samples)
        windows = [torch.tensor(np.array(view))[None] for view in views]
        target = torch.zeros(1, dtype=torch.int64)

        def seconds(some: list[torch.Tensor]) -> float:
            began = time.thread_time()
            for window in some:
                scorer.module(window, target)
            return (time.thread_time() - began) / len(some)

        with torch.inference_mode():
            looped_s = [seconds(windows) for _ in range(rounds)]
            paced_s = []
            for place in range(paced):
                time.sleep(PAUSE_S)
                paced_s.append(seconds([windows[place % len(windows)]]))
        hop_s = manifest.hop_samples / manifest.sample_rate_hz
        return cls(min(looped_s), float(np.median(paced_s)), hop_s)
