"""Encoders of the user's as TorchScript files: use, and refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asd_monitor.errors import ConfigError
from asd_monitor.model_file import script
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_offline.models.pretrained.loading import load_front_end
from asd_offline.models.pretrained.recipe import PretrainedRecipe
from asd_offline.recipes import read_recipe
from asd_offline.training.run import train
from tests.offline.model_files import (
    check_scores_are_finite_and_independent_of_the_batch,
    recipe_file,
    scores_as,
    train_and_load,
)
from tests.offline.small_checkpoints import checkpoint, sha256
from tests.offline.small_sounds import CPU, FakeProgress, hum, make_set, request


class Envelopes(nn.Module):
    """Log energies of 12 filters, every 64 samples, in one of three shapes."""

    def __init__(self, shape: str = "time") -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, 12, 64, 64)
        self.shape = shape

    def forward(self, waveform: Tensor) -> Tensor:
        filtered: Tensor = self.filters(waveform.unsqueeze(1))
        vectors = filtered.square().add(1e-6).log().transpose(1, 2)
        if self.shape == "neither":
            return vectors.mean(1)
        if self.shape == "time and bands":
            return vectors.reshape(vectors.shape[0], -1, 3, 4)
        return vectors


class Scalar(nn.Module):
    def forward(self, waveform: Tensor) -> Tensor:
        return waveform.sum(1)


class Noisy(nn.Module):
    def forward(self, waveform: Tensor) -> Tensor:
        return torch.rand_like(waveform)


def encoder_file(path: Path, encoder: nn.Module | None = None) -> Path:
    """Write an encoder whose random weights are the same in each test."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = encoder or Envelopes()
        for weight in encoder.parameters():
            nn.init.normal_(weight)
    path.parent.mkdir(parents=True, exist_ok=True)
    script(encoder).save(path)
    return path


def settings(path: Path, **changes: object) -> dict[str, object]:
    return {
        "checkpoint": str(path),
        "sha256": sha256(path),
        "architecture": "torchscript",
        "pool": "rdp_gem",
        **changes,
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("scripted")
    recipe = recipe_file(
        folder, "pretrained", **settings(encoder_file(folder / "encoder.pt"), encoder_rate_hz=4000)
    )
    dataset = make_set(folder / "set", ("fan", "pump"), ("00",), 6)
    return train_and_load(request(folder, dataset, model="pretrained", recipe=recipe))


def test_a_model_file_contains_the_encoder(model: LoadedModel) -> None:
    check_scores_are_finite_and_independent_of_the_batch(model)
    normal = np.stack([hum(80 + i, 500.0) for i in range(6)])
    faulty = normal + np.stack([3.0 * hum(90 + i, 1500.0) for i in range(6)]).astype(np.float32)
    lowest = scores_as(model, "fan/id_00", faulty).min()
    assert lowest > scores_as(model, "fan/id_00", normal).max()


def test_evidence_has_the_time_steps_of_the_encoder(model: LoadedModel) -> None:
    window = hum(80, 500.0)
    evidence = model.evidence(window[None], np.zeros(1, np.int64))
    assert evidence is not None
    description = model.manifest.description
    steps = len(window) // 2 // 64  # 4 kHz, every 64 samples
    assert evidence.shape == (1, 1, steps)
    assert description["evidence_hop_s"] == pytest.approx(len(window) / 8000 / steps)
    assert "evidence_bands_hz" not in description


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("time", (25, 1, 12)), ("time and bands", (25, 3, 4)), ("neither", (1, 1, 12))],
)
def test_vectors_may_have_time_and_bands(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    path = encoder_file(tmp_path / "encoder.pt", Envelopes(kind))
    front = load_front_end(path, sha256(path), "torchscript")
    assert front(torch.zeros(2, 1600)).shape == (2, *shape)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (Scalar(), r"expected vectors \(2, dims\).* of two windows, found \(2,\)"),
        (nn.Linear(7, 3), "of two windows of 8000 samples, but the encoder failed: .*mat1"),
        (Noisy(), r"rand_like.*so it is not loaded"),
    ],
    ids=["no vectors", "another length", "forbidden operator"],
)
def test_encoders_that_do_not_fit_are_refused_before_training(
    tmp_path: Path, encoder: nn.Module, message: str
) -> None:
    path = encoder_file(tmp_path / "encoder.pt", encoder)
    recipe = recipe_file(tmp_path, "pretrained", **settings(path))
    dataset = make_set(tmp_path / "set", ("fan",), ("00",), 6)
    training = request(tmp_path, dataset, model="pretrained", recipe=recipe)
    with pytest.raises(ConfigError, match=message):
        train(training, CPU, FakeProgress())
    assert not training.out.exists()


def test_an_encoder_with_weights_that_are_not_finite_is_refused(tmp_path: Path) -> None:
    encoder = Envelopes()
    path = encoder_file(tmp_path / "encoder.pt", encoder)
    encoder.filters.weight.data[2] = float("inf")
    script(encoder).save(path)
    with pytest.raises(ConfigError, match="weights that are not finite"):
        load_front_end(path, sha256(path), "torchscript")


def test_other_files_are_refused_as_encoders(tmp_path: Path) -> None:
    weights = checkpoint(tmp_path, "beats")
    text = tmp_path / "text.pt"
    text.write_text("no archive")
    for path, found in ((weights, "found an archive without code"), (text, "TorchScript file, w")):
        with pytest.raises(ConfigError, match=found):
            load_front_end(path, sha256(path), "torchscript")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 2, "pool": "attention", "bands": "pooled"}, "torchscript cannot be trained"),
        ({"architecture": "auto", "encoder_rate_hz": 8000}, "only used by architecture torchsc"),
    ],
)
def test_settings_that_do_not_fit_an_encoder_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = recipe_file(
        tmp_path, "pretrained", **settings(encoder_file(tmp_path / "e.pt"), **changes)
    )
    with pytest.raises(ConfigError, match=message):
        read_recipe(path, "pretrained", PretrainedRecipe)
