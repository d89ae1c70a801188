"""Recipes, training runs and model files of small models, and checks of every model file."""

from pathlib import Path

import numpy as np
import yaml

from asd_monitor.model_file import load
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_offline.export.export import export
from asd_offline.training.run import TrainRequest, train
from tests.offline.small_sounds import CPU, RATE_HZ, FakeProgress, hum, request

MAX_PARITY = 1e-5
FRONT_END = {"n_fft": 256, "hop_length": 128, "n_mels": 32}
ADACOS = {
    "embedding_dims": 16,
    "sub_clusters": 2,
    "batch_size": 16,
    "epochs": 6,
    "pseudo_classes": False,
}
SMALL_SETTINGS: dict[str, dict[str, object]] = {
    "modulation_knn": {"envelope_bands": 12},
    "spectral_adacos": {**ADACOS, "n_fft": 256, "hop_length": 128},
    "multires_adacos": {
        **ADACOS,
        "resolutions": [[64, 32], [256, 128]],
        "ensemble": 2,
        "feature_groups": False,
    },
    "stgram_mfn": {
        **FRONT_END,
        "epochs": 2,
        "constant_epochs": 1,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "score": "neighbours",
    },
    "anomaly_transformer": {
        **FRONT_END,
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "segment_frames": 20,
        "train_hop_frames": 10,
        "score_hop_frames": 10,
        "dims": 16,
        "heads": 2,
        "layers": 2,
        "hidden": 16,
    },
    "mobilenetv2": {
        **FRONT_END,
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "segment_frames": 32,
        "train_hop_frames": 16,
        "score_hop_frames": 16,
        "batch_norm_momentum": 0.2,
    },
    "aegan_ad": {
        "n_fft": 256,
        "hop_length": 62,
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "channels": 2,
        "code": 4,
        "score_hop_frames": 8,
        "score": "d_knn",
    },
}
MACHINES = {"mobilenetv2": ("fan",)}  # its many layers take long to compile
"""Machines that a model is trained for, if not all."""


def recipe_file(folder: Path, model: str, **settings: object) -> Path:
    """Write a recipe for sound of 8 kHz."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{model}.yaml"
    path.write_text(yaml.safe_dump({"model": model, "sample_rate_hz": RATE_HZ, **settings}))
    return path


def small_recipe(folder: Path, model: str, **changes: object) -> Path:
    """Write a recipe that trains in seconds, with single values changed."""
    return recipe_file(
        folder, model, **{"auc_interval_epochs": 0, **SMALL_SETTINGS[model], **changes}
    )


def training_request(folder: Path, model: str, dataset: Path, **changes: object) -> TrainRequest:
    """Request the training of a model with its small recipe."""
    recipe = small_recipe(folder, model, **changes)
    return request(folder, dataset, model=model, recipe=recipe, machines=MACHINES.get(model, ()))


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
