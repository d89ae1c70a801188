"""The 2023 baseline: the score equals the published mean over all pairs of frames."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from asd_monitor.model_file import load
from asd_offline.datasets.clip import Clip
from asd_offline.export.export import export
from asd_offline.models import MODELS
from asd_offline.models.autoencoder.detector import AutoencoderDetector
from asd_offline.models.autoencoder.network import DenseAutoencoder
from asd_offline.models.autoencoder.recipe import AutoencoderMahalanobisRecipe
from asd_offline.training.prepare import prepare
from asd_offline.training.run import train
from tests.offline.small_sounds import (
    CPU,
    FakeProgress,
    hum,
    make_set,
    prepared_set,
    request,
    small_recipe,
)

SMALL = small_recipe().model_dump() | {"model": "autoencoder_mahalanobis", "weight_init": "torch"}
RECIPE = AutoencoderMahalanobisRecipe(**SMALL)


def test_it_has_the_baselines_parameters_and_recipe() -> None:
    recipe = AutoencoderMahalanobisRecipe()
    weights = DenseAutoencoder(recipe).parameters()
    assert sum(weight.numel() for weight in weights) == 267_928
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (100, 256, 1e-3)
    assert (recipe.batch_norm_momentum, recipe.batch_norm_eps) == (0.01, 1e-3)


def test_the_score_is_the_mean_over_all_pairs_of_residual_frames(tmp_path: Path) -> None:
    prepared, features = prepared_set(make_set(tmp_path / "set"), tmp_path / "cache", RECIPE)
    (target,) = prepared.targets
    # Half of the clips are of the target domain.
    clips = [
        replace(clip, domain="target" if i % 2 else "source") for i, clip in enumerate(target.clips)
    ]
    target = replace(target, clips=tuple(clips))
    model = MODELS["autoencoder_mahalanobis"]
    prepared = replace(prepared, targets=(target,), networks={"fan": (target,)})
    network = prepared.new_task("fan", 0, features).network.eval()
    with torch.no_grad():
        detector = model.detector({"fan": network}, {"fan": (target,)}, RECIPE, features)
    assert isinstance(detector, AutoencoderDetector)
    windows = torch.from_numpy(np.stack([hum(50, 500.0), hum(51, 900.0)]))
    index = torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        residual = detector.residuals(windows, index)
        scores = detector(windows, index)
        precision = [precision_of(detector, clips, name) for name in ("source", "target")]
    for window in range(2):
        frames = residual[window].reshape(-1, RECIPE.n_mels).double()
        pairs = [(frames @ matrix @ frames.t()).mean() for matrix in precision]
        assert float(scores[window]) == pytest.approx(float(min(pairs)), rel=1e-3)


def precision_of(detector: AutoencoderDetector, clips: list[Clip], domain: str) -> torch.Tensor:
    from asd_monitor.audio.files import read_recording

    frames = []
    for clip in clips:
        if clip.domain == domain:
            waveform = torch.from_numpy(read_recording(clip.path, RECIPE.sample_rate_hz))
            residual = detector.residuals(waveform[None], torch.zeros(1, dtype=torch.int64))
            frames.append(residual.reshape(-1, RECIPE.n_mels))
    covariance = torch.cov(torch.cat(frames).double().t(), correction=0)
    inverse: torch.Tensor = torch.linalg.inv(covariance)
    return inverse


def test_without_a_target_domain_there_is_one_covariance(tmp_path: Path) -> None:
    prepared, features = prepared_set(make_set(tmp_path / "set"), tmp_path / "cache", RECIPE)
    model = MODELS["autoencoder_mahalanobis"]
    prepared = prepare(model, prepared.dataset, RECIPE)
    network = prepared.new_task("fan", 0, features).network.eval()
    detector = model.detector({"fan": network}, prepared.networks, prepared.recipe, features)
    assert isinstance(detector, AutoencoderDetector)
    precision = detector.get_buffer("score.backend.backends.0.precision")
    assert precision.shape == (1, 16, 16)


def test_it_trains_exports_and_detects_a_whistle(tmp_path: Path) -> None:
    path = tmp_path / "mahalanobis.yaml"
    path.write_text(yaml.safe_dump(RECIPE.model_dump(mode="json", exclude_none=True)))
    dataset = make_set(tmp_path / "set")
    training = request(
        tmp_path,
        dataset,
        model="autoencoder_mahalanobis",
        recipe=path,
        epochs=40,
        checkpoint_interval_s=60.0,
    )
    train(training, CPU, FakeProgress())
    exported = export(training.out, tmp_path / "model.asd", training.cache)
    assert exported.parity <= 1e-5
    loaded = load(exported.path)
    windows = np.stack([hum(50, 500.0), hum(50, 500.0) + hum(51, 1500.0)])
    scores = loaded.score(windows, np.zeros(2, np.int64))
    assert scores[1] > 2 * scores[0]
    assert loaded.has_evidence
