"""The yardstick: the model alone, called in a loop, with nothing around it."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd_monitor import model_file
from asd_monitor.recordings import read_recording
from asd_monitor.windows import clip_windows


@dataclass(frozen=True, slots=True)
class BareModel:
    """How long the scripted model takes for a window, one at a time, on one thread."""

    cpu_s: float
    """Processor time a window: the least mean over a round of all windows."""
    hop_s: float
    windows: int

    @classmethod
    def measure(cls, model: Path, sound: Path, rounds: int) -> "BareModel":
        """Score all windows of the sound so many times over."""
        import torch

        scorer = model_file.load(model, "cpu")
        manifest = scorer.manifest
        samples = read_recording(sound, manifest.sample_rate_hz)
        views = clip_windows(samples, manifest.window_samples, manifest.hop_samples)
        windows = [torch.tensor(np.array(view))[None] for view in views]
        target, means_s = torch.zeros(1, dtype=torch.int64), []
        with torch.inference_mode():
            for _ in range(rounds):
                began = time.thread_time()
                for window in windows:
                    scorer.module(window, target)
                means_s.append((time.thread_time() - began) / len(windows))
        hop_s = manifest.hop_samples / manifest.sample_rate_hz
        return cls(min(means_s), hop_s, len(windows))
