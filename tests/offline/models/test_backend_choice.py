"""Backends that a recipe names: one, or several whose scores are fused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.model_file import script
from asd_offline.export.export import export
from asd_offline.models import MODELS
from asd_offline.models.adacos.recipe import SpectralAdacosRecipe
from asd_offline.models.backend_choice import (
    BACKEND_NAMES,
    BackendName,
    BackendSpec,
    fit_backends,
)
from asd_offline.models.pretrained.recipe import PretrainedRecipe
from asd_offline.recipes import read_recipe
from asd_offline.training.run import train
from asd_offline.training.trained_run import TrainedRun, load_trained_run
from tests.offline.model_files import small_recipe, training_request
from tests.offline.small_sounds import CPU, FakeProgress, hum, make_set

EMBEDDING_ONLY = {"epochs": 2, "feature_groups": False}
LISTS: tuple[BackendSpec, ...] = (
    ("density_neighbours", "mahalanobis"),
    ("lof", "kmeans", "selective_mahalanobis"),
)
CLIPS = torch.arange(40) // 2
IS_TARGET_DOMAIN = torch.arange(40) >= 36


def normal_vectors() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return F.normalize(torch.tensor([1.0, 0, 0]) + 0.1 * torch.randn(40, 3, generator=generator))


@pytest.mark.parametrize("spec", [*BACKEND_NAMES, *LISTS], ids=str)
def test_a_distant_vector_scores_above_all_normal_ones(spec: BackendSpec) -> None:
    backend = script(fit_backends(spec, normal_vectors(), CLIPS, IS_TARGET_DOMAIN))
    with torch.inference_mode():
        score = backend(F.normalize(torch.tensor([[0.0, 1.0, 1.0]])))
        assert float(score) > float(backend(normal_vectors()).max())


def test_several_backends_are_standardised_on_left_out_clips() -> None:
    vectors = normal_vectors()
    names: tuple[BackendName, ...] = ("density_neighbours", "mahalanobis")
    fused = fit_backends(names, vectors, CLIPS, IS_TARGET_DOMAIN, fusion="mean")
    others = [fit_backends((name, "lof"), vectors, CLIPS, IS_TARGET_DOMAIN) for name in names]
    queries = vectors[:5]
    scores = [
        (other.backends[0](queries) - other.centre[0]) * other.inverse_scale[0]  # type: ignore[index,operator]
        for other in others
    ]
    assert torch.allclose(fused(queries), torch.stack(scores).mean(0), atol=1e-4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """Train a network; its backend is only fitted for the detector."""
    folder = tmp_path_factory.mktemp("backends")
    dataset = make_set(folder / "set", ("fan", "pump"), ("00",))
    training = training_request(folder, "spectral_adacos", dataset, **EMBEDDING_ONLY)
    train(training, CPU, FakeProgress())
    return load_trained_run(training.out, training.cache)


@pytest.mark.parametrize(
    "spec", ["gmm", ("density_neighbours", "mahalanobis"), "selective_mahalanobis"], ids=str
)
def test_the_detector_has_the_backend_of_the_recipe(trained: TrainedRun, spec: BackendSpec) -> None:
    recipe = trained.prepared.recipe.model_copy(update={"backend": spec})
    targets = trained.prepared.networks
    model = MODELS["spectral_adacos"]
    detector = script(model.detector(trained.networks, targets, recipe, trained.features))
    # hum at 500 Hz is fan id_00; pump id_00 is 600 Hz.
    windows = torch.from_numpy(np.stack([hum(60 + i, 500.0) for i in range(6)]))
    with torch.inference_mode():
        fan, pump = (detector(windows, torch.full((6,), target)) for target in (0, 1))
    assert fan.median() < pump.median()


def test_too_few_clips_for_a_backend_are_reported(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set", ("fan",), ("00", "02"), clips=4)
    settings = EMBEDDING_ONLY | {"backend": ["density_neighbours", "lof"]}
    training = training_request(tmp_path, "spectral_adacos", dataset, **settings)
    train(training, CPU, FakeProgress())
    with pytest.raises(DatasetError, match=r"fan/id_00: its \d+ clips do not suffice"):
        export(training.out, tmp_path / "model.asd", training.cache)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "gmn"}, "backend"),
        ({"backend": ["gmm"]}, "backend"),
        ({"backend": ["gmm", "gmm"]}, "each backend once"),
        ({"backend": "gmm", "neighbours": 3}, "not used by backend gmm"),
        ({"fusion": "min"}, "density_neighbours is the only backend"),
    ],
)
def test_a_backend_setting_without_effect_is_refused(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    path = small_recipe(tmp_path, "spectral_adacos", **EMBEDDING_ONLY, **settings)
    with pytest.raises(ConfigError, match=message):
        read_recipe(path, "spectral_adacos", SpectralAdacosRecipe)


@pytest.mark.parametrize("settings", [{"backend": "gmm"}, {"neighbours": 3}])
def test_backend_settings_are_refused_with_feature_groups(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    path = small_recipe(tmp_path, "spectral_adacos", **settings)
    with pytest.raises(ConfigError, match="expected feature_groups: false"):
        read_recipe(path, "spectral_adacos", SpectralAdacosRecipe)


def test_the_recipe_of_pretrained_has_the_same_backend_settings() -> None:
    values = {"checkpoint": "beats.pt", "sha256": "0" * 64}
    recipe = PretrainedRecipe.model_validate(
        values | {"backend": ["gmm", "lof"], "neighbours": 5, "fusion": "mean"}
    )
    assert recipe.backend == ("gmm", "lof")
    with pytest.raises(ValueError, match="not used by backend gmm and kmeans"):
        PretrainedRecipe.model_validate(values | {"backend": ["gmm", "kmeans"], "neighbours": 5})
