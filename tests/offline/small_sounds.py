"""A dataset of one-second clips in the layout of 2020, and recipes that train in a second."""

from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import nn

from asd_offline.datasets.loading import open_dataset
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.autoencoder.recipe import AutoencoderRecipe
from asd_offline.models.protocol import Task
from asd_offline.recipes import Recipe
from asd_offline.training.distributed import Process
from asd_offline.training.loop import EpochResult
from asd_offline.training.prepare import PreparedData, prepare
from asd_offline.training.run import TrainRequest

RATE_HZ = 8000
CPU = Process(torch.device("cpu"))


def hum(seed: int, tone_hz: float, rate_hz: int = RATE_HZ, seconds: float = 1.0) -> np.ndarray:
    """Return ``(samples,)`` of a machine: one tone with its second harmonic, in noise."""
    random = np.random.default_rng(seed)
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    tones = np.sin(2 * np.pi * tone_hz * t) + 0.5 * np.sin(4 * np.pi * tone_hz * t)
    return (0.1 * tones + 0.02 * random.standard_normal(len(t))).astype(np.float32)


def make_set(
    root: Path, machines: tuple[str, ...] = ("fan",), ids: tuple[str, ...] = ("00",), clips: int = 8
) -> Path:
    """Write training clips, and three normal and three anomalous (whistling) test clips per id."""
    for machine in machines:
        for machine_id in ids:
            tone_hz = 200.0 + 40 * int(machine_id) + 100 * len(machine)
            for number in range(clips):
                name = f"train/normal_id_{machine_id}_{number:08d}.wav"
                _write(root / machine / name, hum(number, tone_hz))
            for number in range(3):
                normal = hum(1000 + number, tone_hz)
                _write(root / machine / f"test/normal_id_{machine_id}_{number:08d}.wav", normal)
                faulty = hum(2000 + number, tone_hz) + hum(3000 + number, 1500.0)
                _write(root / machine / f"test/anomaly_id_{machine_id}_{number:08d}.wav", faulty)
    return root


def _write(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE_HZ, "PCM_16")


def small_recipe(**changes: object) -> AutoencoderRecipe:
    values: dict[str, object] = {
        "sample_rate_hz": RATE_HZ,
        "n_fft": 256,
        "hop_length": 128,
        "n_mels": 16,
        "hidden": 16,
        "bottleneck": 4,
        "epochs": 4,
        "batch_size": 64,
        "batch_norm_momentum": 0.1,
        "learning_rate": 0.01,
        "auc_interval_epochs": 0,
    }
    return AutoencoderRecipe(**(values | changes))


def write_recipe(path: Path, **changes: object) -> Path:
    import yaml

    recipe = small_recipe(**changes).model_dump(mode="json", exclude_none=True)
    path.write_text(yaml.safe_dump(recipe))
    return path


def request(folder: Path, dataset: Path, **changes: object) -> TrainRequest:
    values: dict[str, object] = {
        "model": "autoencoder",
        "dataset": dataset,
        "out": folder / "run",
        "cache": folder / "cache",
        "recipe": write_recipe(folder / "recipe.yaml"),
        "checkpoint_interval_s": 0.0,
    }
    return TrainRequest(**(values | changes))  # type: ignore[arg-type]


def prepared_set(
    root: Path, cache: Path, recipe: Recipe | None = None
) -> tuple[PreparedData, FeatureCache]:
    model = MODELS["autoencoder"]
    return prepare(model, open_dataset(root), recipe or small_recipe()), FeatureCache(cache)


def new_task(
    prepared: PreparedData, features: FeatureCache, name: str = "fan", seed: int = 0
) -> Task[nn.Module]:
    return prepared.new_task(name, seed, features)


class FakeProgress:
    """Progress that records what is reported, and interrupts training as Ctrl-C does.

    Parameters
    ----------
    stop_at_epoch
        Stop once this epoch of any network is recorded.
    """

    def __init__(self, stop_at_epoch: int = 0) -> None:
        self._stop_at_epoch = stop_at_epoch
        self.epochs: list[tuple[str, float]] = []
        """Network and number of each finished epoch."""
        self.totals: dict[str, float] = {}
        """Total of each stage."""
        self.messages: list[str] = []

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        self.totals[stage] = total
        if not detail:
            return
        self.epochs.append((stage, done))
        if done == self._stop_at_epoch:
            raise KeyboardInterrupt

    def message(self, text: str) -> None:
        self.messages.append(text)


class FakeRecorder:
    """Recorder of epochs' results that interrupts training as Ctrl-C does.

    Parameters
    ----------
    stop_at_epoch
        Stop when this epoch is recorded.
    """

    def __init__(self, stop_at_epoch: int = 0) -> None:
        self._stop_at_epoch = stop_at_epoch
        self.results: list[EpochResult] = []
        self.resumed_at = -1

    def resume(self, epochs_done: int) -> bool:
        self.resumed_at = epochs_done
        return False

    def record(self, result: EpochResult, network: nn.Module) -> None:
        torch.rand(5)  # recorders may use random numbers
        self.results.append(result)
        if result.number == self._stop_at_epoch:
            raise KeyboardInterrupt
