"""A small dataset of fans and a replay of it with a toy model."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_offline.replay import ReplaySettings
from tests.rig.toy_model import RATE_HZ, save_toy

CLIP_SAMPLES = 8 * 800
WINDOW_SAMPLES, HOP_SAMPLES = 800, 400


def write_clip(path: Path, level_dbfs: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    samples = 10 ** (level_dbfs / 20) * random.standard_normal(CLIP_SAMPLES)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(samples, -1, 1), RATE_HZ, subtype="PCM_16")


def write_fans(root: Path, clips: int = 6) -> Path:
    """Write fans of 2020 whose anomalies are 3 dB louder; id_02 has no training clips."""
    for number in range(clips):
        name = f"id_00_{number:08d}.wav"
        write_clip(root / "fan" / "train" / f"normal_{name}", -20, number)
        for machine_id in ("00", "02"):
            name = f"id_{machine_id}_{number:08d}.wav"
            write_clip(root / "fan" / "test" / f"normal_{name}", -20, 100 + number)
            write_clip(root / "fan" / "test" / f"anomaly_{name}", -17, 200 + number)
    return root


def replay_settings(
    dataset: Path, model: Path | str, out: Path | None = None, **changes: object
) -> ReplaySettings:
    settings = ReplaySettings(dataset, model=str(model), out=out, jobs=1)
    return replace(settings, **changes)  # type: ignore[arg-type]


@dataclass
class ScoringProgress:
    """Progress that records numbers of scored clips, and interrupts at ``stop_at``."""

    stop_at: float = float("inf")
    done: list[float] = field(default_factory=list)

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        if stage == "scoring":
            self.done.append(done)
            if done >= self.stop_at:
                raise KeyboardInterrupt

    def message(self, text: str) -> None:
        """Do nothing."""


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model file whose score is the level of a window."""
    return save_toy(tmp_path_factory.mktemp("model") / "toy.asd")


@pytest.fixture(scope="session")
def fans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of fans; tests must not change it."""
    return write_fans(tmp_path_factory.mktemp("data") / "fans")
