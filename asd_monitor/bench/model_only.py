"""The reference: the model alone, called in a loop, without the daemon."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd_monitor import model_file
from asd_monitor.audio.files import read_recording
from asd_monitor.audio.windowing import clip_windows

PAUSE_S = 0.25
"""Between two calls at a slow pace: long enough for other programs to evict the caches."""


@dataclass(frozen=True, slots=True)
class ModelOnly:
    """Processor time of the scripted model per window, one at a time, on one thread."""

    looped_s: float
    """Without pauses: the smallest mean of all rounds."""
    paced_s: float
    """With pauses, after which the caches are cold: the median."""
    hop_s: float

    @classmethod
    def measure(cls, model: Path, sound: Path, *, rounds: int, paced: int) -> "ModelOnly":
        """Score all windows of the sound ``rounds`` times, then ``paced`` of them with pauses."""
        import torch

        loaded = model_file.load(model, "cpu", policy=model_file.LoadPolicy.of_user())
        manifest = loaded.manifest
        samples = read_recording(sound, manifest.sample_rate_hz)
        views = clip_windows(samples, manifest.window_samples, manifest.hop_samples)
        windows = [torch.tensor(np.array(view))[None] for view in views]
        target = torch.zeros(1, dtype=torch.int64)

        def mean_time_s(batch: list[torch.Tensor]) -> float:
            started_s = time.thread_time()
            for window in batch:
                loaded.module(window, target)
            return (time.thread_time() - started_s) / len(batch)

        with torch.inference_mode():
            looped_s = [mean_time_s(windows) for _ in range(rounds)]
            paced_s = []
            for index in range(paced):
                time.sleep(PAUSE_S)
                paced_s.append(mean_time_s([windows[index % len(windows)]]))
        hop_s = manifest.hop_samples / manifest.sample_rate_hz
        return cls(min(looped_s), float(np.median(paced_s)), hop_s)
