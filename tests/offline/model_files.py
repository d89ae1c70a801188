"""Recipes, trained runs and model files of small models, and what holds for every model file."""

from pathlib import Path

import numpy as np
import yaml

from asd_monitor.model_file import load
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_offline.export.export import export
from asd_offline.training.run import TrainRequest, train
from tests.offline.small_sounds import CPU, RATE_HZ, FakeProgress, hum

MAX_PARITY = 1e-5


def recipe_file(folder: Path, model: str, **settings: object) -> Path:
    """Write a recipe for sound of 8 kHz."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{model}.yaml"
    path.write_text(yaml.safe_dump({"model": model, "sample_rate_hz": RATE_HZ, **settings}))
    return path


def train_and_load(training: TrainRequest) -> LoadedModel:
    """Train and export, and load the model file."""
    train(training, CPU, FakeProgress())
    path = training.out.with_name("model.asd")
    exported = export(training.out, path, training.cache)
    assert exported.parity <= MAX_PARITY
    return load(path)


def scores_as(model: LoadedModel, target: str, windows: np.ndarray) -> np.ndarray:
    """Return the scores ``(windows,)`` of windows as those of one target."""
    return model.score(windows, np.full(len(windows), model.target_index(target)))


def check_scores_are_finite_and_independent_of_the_batch(
    model: LoadedModel, atol: float = 1e-5
) -> None:
    """Check that silence has a finite score, and that no row's score depends on the others."""
    windows = np.stack([hum(7, 500.0), np.zeros(RATE_HZ, np.float32), hum(8, 640.0)])
    windows = windows[:, : model.manifest.window_samples]
    targets = np.array([0, 1, len(model.manifest.targets) - 1])
    batch = model.score(windows, targets)
    single = [model.score(windows[i : i + 1], targets[i : i + 1])[0] for i in range(3)]
    assert np.all(np.isfinite(batch))
    np.testing.assert_allclose(batch, single, rtol=1e-3, atol=atol)
