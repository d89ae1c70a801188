"""A model that is saved in milliseconds: distance of log band energies to a reference."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from asd_monitor.calibration import Calibration
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.model_file import save, script
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.model_file.manifest import Manifest, Threshold

RATE_HZ = 8000
WINDOW_SAMPLES = 800
TARGETS = ("pump", "fan")


class LogBands(torch.nn.Module):
    """Mean squared distance of eight band levels in dB to the target's normal level."""

    bank: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        # White noise at -20 dBFS is the fan's normal sound, at -26 dBFS the pump's.
        levels = torch.tensor([-26.0, -20.0])
        self.register_buffer("bank", levels[:, None].expand(-1, 8).clone())

    def levels_db(self, waveform: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, 8, 5)``: level of each band in each fifth of the window."""
        frames = waveform.reshape(waveform.size(0), 5, -1)
        power = torch.fft.rfft(frames).abs().square()[:, :, :80] / frames.size(2)
        bands = power.reshape(power.size(0), 5, 8, 10).mean(3).transpose(1, 2)
        return 10 * torch.log10(bands + 1e-10)

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Score ``(batch, 800)`` windows; higher = more anomalous."""
        level = self.levels_db(waveform).mean(2)
        return (level - self.bank[target]).square().mean(1)

    @torch.jit.export
    def evidence(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, 8, 5)``: squared distance of each band in each fifth."""
        return (self.levels_db(waveform) - self.bank[target][:, :, None]).square()


def noise(count: int, level_dbfs: float = -26.0, seed: int = 0) -> np.ndarray:
    """Return ``(count, 800)`` float32 white noise."""
    random = np.random.default_rng(seed)
    return (10 ** (level_dbfs / 20) * random.standard_normal((count, WINDOW_SAMPLES))).astype(
        np.float32
    )


def calibration(target: int, windows: int = 200) -> Calibration:
    """Calibrate the toy model on windows of a target's normal sound."""
    level_dbfs = (-26.0, -20.0)[target]
    normal = torch.from_numpy(noise(windows, level_dbfs, seed=7))
    scores = LogBands()(normal, torch.full((windows,), target))
    return Calibration.fit(scores.numpy())


def manifest(**changes: object) -> Manifest:
    """Return the toy model's manifest, calibrated for both targets."""
    calibrations = {name: calibration(i) for i, name in enumerate(TARGETS)}
    values: dict[str, object] = {
        "name": "log bands",
        "revision": "1",
        "targets": TARGETS,
        "sample_rate_hz": RATE_HZ,
        "window_samples": WINDOW_SAMPLES,
        "hop_samples": WINDOW_SAMPLES // 2,
        "aggregation": "mean",
        "calibrations": calibrations,
        "thresholds": {
            name: Threshold(calibration.threshold(0.001), 0.001, calibration.rule)
            for name, calibration in calibrations.items()
        },
        "training": {"fingerprint": "0" * 64, "recordings": 0},
        "description": {"bands": 8},
        "created_at": "2026-11-20T12:00:00+00:00",
    }
    return Manifest(**(values | changes))  # type: ignore[arg-type]


def rules_of(model: LoadedModel, targets: Mapping[str, str]) -> dict[str, DecisionRule]:
    """Return the decision rules of machines, by the thresholds of the model file."""
    return {
        machine: DecisionRule.from_manifest(model.manifest, target)
        for machine, target in targets.items()
    }


def save_toy(path: Path, changes: Mapping[str, object] | None = None) -> Path:
    """Write the toy model to a file, and return its path."""
    save(path, script(LogBands()), manifest(**(changes or {})))
    return path
