"""The model `pretrained`: recipe, backends, fine-tuning, and the model file."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from asd_monitor.backends.per_target import PerTarget
from asd_monitor.errors import ConfigError
from asd_monitor.model_file import script
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_offline.datasets.loading import open_dataset
from asd_offline.export.export import export
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.pretrained.pooling import (
    Bands,
    PatchPooling,
    PatchScores,
    Pool,
    deviation_weights,
    generalised_mean,
)
from asd_offline.models.pretrained.recipe import PretrainedRecipe
from asd_offline.recipes import read_recipe
from asd_offline.training.prepare import prepare
from asd_offline.training.run import TrainRequest, train
from tests.offline.model_files import (
    check_scores_are_finite_and_independent_of_the_batch,
    recipe_file,
    scores_as,
    train_and_load,
)
from tests.offline.small_checkpoints import checkpoint, sha256
from tests.offline.small_sounds import CPU, FakeProgress, hum, make_set, request
from tests.rig.paths import CONFIGS

FINE_TUNED: dict[str, object] = {
    "epochs": 2,
    "pool": "attention",
    "bands": "pooled",
    "lora_rank": 2,
    "embedding_dims": 8,
    "sub_clusters": 2,
    "learning_rate": 1e-3,
    "pseudo_classes": False,
    "auc_interval_epochs": 0,
}
RECIPES = CONFIGS / "train"
CASES: dict[str, tuple[str, dict[str, object]]] = {
    "beats": ("beats", {}),
    "beats fine-tuned": ("beats", FINE_TUNED),
    "ced": ("ced", {"pool": "mean_max", "bands": "joined", "backend": "lof"}),
    "eat": ("eat", {"bands": "pooled", "backend": "domain_density_neighbours"}),
    "rdp and gem": ("dasheng", {"pool": "rdp_gem", "backend": "variance_minimised_neighbours"}),
    "ced fine-tuned with clusters": (
        "ced",
        FINE_TUNED | {"encoder_clusters": 2, "pseudo_classes": None},
    ),
    "eat fine-tuned": ("eat", FINE_TUNED | {"lora_rank": 0}),
}


def pretrained_recipe(folder: Path, architecture: str, **changes: object) -> Path:
    path = checkpoint(folder, architecture)
    settings = {"checkpoint": str(path), "sha256": sha256(path), **changes}
    return recipe_file(folder, "pretrained", **settings)


def training_request(folder: Path, architecture: str, **changes: object) -> TrainRequest:
    dataset = make_set(folder / "set", ("fan", "pump"), ("00",), 6)
    recipe = pretrained_recipe(folder, architecture, **changes)
    return request(folder, dataset, model="pretrained", recipe=recipe)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedModel]:
    """Train the model of a case, once."""

    @cache
    def train_case(case: str) -> LoadedModel:
        architecture, changes = CASES[case]
        folder = tmp_path_factory.mktemp("pretrained")
        return train_and_load(training_request(folder, architecture, **changes))

    return train_case


@pytest.fixture(params=CASES)
def model(request: pytest.FixtureRequest, trained: Callable[[str], LoadedModel]) -> LoadedModel:
    return trained(request.param)


def test_a_model_file_names_its_checkpoint(model: LoadedModel) -> None:
    description = model.manifest.description
    assert description["architecture"] in {"beats", "ced", "dasheng", "eat"}
    assert description["checkpoint_sha256"] == description["recipe"]["sha256"]  # type: ignore[index,call-overload]
    assert model.manifest.targets == ("fan/id_00", "pump/id_00")


def test_a_fault_scores_above_normal_sound(model: LoadedModel) -> None:
    normal = np.stack([hum(80 + i, 500.0) for i in range(6)])
    faulty = normal + np.stack([3.0 * hum(90 + i, 1500.0) for i in range(6)]).astype(np.float32)
    lowest = scores_as(model, "fan/id_00", faulty).min()
    assert lowest > scores_as(model, "fan/id_00", normal).max()


def test_scores_are_finite_and_independent_of_the_batch(model: LoadedModel) -> None:
    check_scores_are_finite_and_independent_of_the_batch(model)


def test_vectors_are_cached_between_exports(tmp_path: Path) -> None:
    training = training_request(tmp_path, "ced")
    train(training, CPU, FakeProgress())
    export(training.out, tmp_path / "a.asd", training.cache, progress=(first := FakeProgress()))
    assert "features" in first.totals
    export(training.out, tmp_path / "b.asd", training.cache, progress=(second := FakeProgress()))
    assert not second.totals


def test_banks_hold_training_clips_only_and_at_most_bank_windows(tmp_path: Path) -> None:
    training = training_request(tmp_path, "beats", bank_windows=3)
    model = MODELS["pretrained"]
    recipe = read_recipe(training.recipe, "pretrained", model.recipe)
    for bank_windows, expected in ((3, 3), (1000, 4)):
        changed = recipe.model_copy(update={"bank_windows": bank_windows})
        prepared = prepare(model, open_dataset(training.dataset), changed)
        features = FeatureCache(training.cache)
        network = prepared.new_task("all", 0, features).network
        detector = model.detector({"all": network}, prepared.networks, prepared.recipe, features)
        buffers = detector.named_buffers()
        sizes = {len(buffer) for name, buffer in buffers if name.endswith(".bank")}
        assert sizes == {expected}  # two of six clips are held out


def test_unusable_weights_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    training = training_request(tmp_path, "eat", sha256="0" * 64)
    with pytest.raises(ConfigError, match="expected SHA-256 000"):
        train(training, CPU, FakeProgress())
    assert not training.out.exists()


def test_a_window_outside_the_limits_of_the_weights_is_refused(tmp_path: Path) -> None:
    training = training_request(tmp_path, "ced", window_s=0.1)
    with pytest.raises(ConfigError, match=r"window_s: expected 0\.15 to 2\.07 s.*ced.* 0\.10 s"):
        train(training, CPU, FakeProgress())


def test_stopped_and_resumed_fine_tuning_gives_the_same_network(tmp_path: Path) -> None:
    training = training_request(tmp_path, "ced", **FINE_TUNED)
    train(training, CPU, FakeProgress())
    stopped = replace(training, out=tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        train(stopped, CPU, FakeProgress(stop_at_epoch=1))
    train(replace(stopped, resume=True), CPU, FakeProgress())
    checkpoints = [
        torch.load(next((out / "networks" / "all").glob("epoch-*2-*.pt")), weights_only=True)
        for out in (training.out, stopped.out)
    ]
    for name, weight in checkpoints[0]["weights"].items():
        assert torch.equal(weight, checkpoints[1]["weights"][name]), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "abc"}, "sha256"),
        ({"checkpoint": None}, "checkpoint"),
        ({"pool": "attention", "bands": "pooled"}, "expected mean or .* with epochs: 0"),
        ({"pool": "gem", "pool_emphasis": 2.0}, "pool_emphasis: not used by pool gem"),
        ({"pool_power": 3.0}, "pool_power: not used by pool mean, only by gem and rdp_gem"),
        ({"epochs": 3, "bands": "pooled"}, "expected attention with epochs: 3"),
        ({"epochs": 3, "pool": "attention"}, "bands: expected pooled"),
        ({"backend": "mahalanobis", "neighbours": 3}, "not used by backend mahalanobis"),
        ({"recompute_batch_norm": True}, "recompute_batch_norm"),
    ],
)
def test_settings_without_effect_or_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_recipe(pretrained_recipe(tmp_path, "ced", **changes), "pretrained", PretrainedRecipe)


def test_a_recipe_without_weights_is_refused() -> None:
    with pytest.raises(ConfigError, match="checkpoint"):
        read_recipe(None, "pretrained", PretrainedRecipe)


def test_the_shipped_recipe_has_the_defaults() -> None:
    shipped = read_recipe(RECIPES / "pretrained.yaml", "pretrained", PretrainedRecipe)
    assert isinstance(shipped, PretrainedRecipe)
    default = PretrainedRecipe(checkpoint=shipped.checkpoint, sha256=shipped.sha256)
    assert shipped == default


def test_the_path_of_the_checkpoint_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = PretrainedRecipe(checkpoint=Path("weights/a.pt"), sha256="0" * 64)
    assert recipe.checkpoint == tmp_path / "weights" / "a.pt"


@pytest.mark.parametrize(
    ("bands", "vectors", "values"), [("separate", 8, 5), ("joined", 1, 40), ("pooled", 1, 5)]
)
def test_patches_are_pooled_over_time_or_over_time_and_bands(
    bands: Bands, vectors: int, values: int
) -> None:
    patches = torch.randn(3, 6, 8, 5, generator=torch.Generator().manual_seed(0))
    pooled = PatchPooling("mean", bands)(patches)
    assert pooled.shape == (3, vectors, values)
    torch.testing.assert_close(pooled.norm(dim=2), torch.ones(3, vectors))
    axes = (1, 2) if bands == "pooled" else 1
    mean = patches.mean(axes).reshape(3, vectors, values)
    torch.testing.assert_close(pooled, F.normalize(mean, dim=2))
    both = PatchPooling("mean_max", bands)(patches)
    maximum = patches.amax(axes).reshape(3, vectors, values)
    torch.testing.assert_close(both[:, :, :values] * 2**0.5, F.normalize(mean, dim=2))
    torch.testing.assert_close(both[:, :, values:] * 2**0.5, F.normalize(maximum, dim=2))


@pytest.mark.parametrize("bands", ["separate", "joined", "pooled"])
@pytest.mark.parametrize(
    ("pool", "power", "emphasis"),
    [("gem", 3.0, 0.0), ("gem", 10.0, 0.0), ("rdp", 1.0, 9.0), ("rdp_gem", 3.0, 9.0)],
)
def test_pooling_equals_the_published_equations(
    pool: Pool, power: float, emphasis: float, bands: Bands
) -> None:
    patches = torch.randn(3, 6, 8, 5, generator=torch.Generator().manual_seed(0))
    expected = []
    for window in patches.double().numpy():
        steps = window.reshape(48, 1, 5) if bands == "pooled" else window
        deviation = np.array([np.sqrt(((step - steps.mean(0)) ** 2).sum()) for step in steps])
        weights = (1.0 + deviation / deviation.max()) ** emphasis
        weights = (weights / weights.sum())[:, None, None]
        if pool == "rdp":
            vectors = (weights * steps).sum(0)
        else:
            vectors = (weights * np.maximum(steps, 0.0) ** power).sum(0) ** (1.0 / power)
        vectors = vectors.reshape(1, -1) if bands == "joined" else vectors
        expected.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    pooling = script(PatchPooling(pool, bands, power, emphasis).eval())
    np.testing.assert_allclose(pooling(patches), np.stack(expected), rtol=1e-4, atol=1e-5)


def test_generalised_means_range_from_the_mean_to_the_maximum() -> None:
    patches = 1e-5 * torch.rand(2, 50, 3, 4, generator=torch.Generator().manual_seed(0))
    equal = torch.full((2, 50), 0.02)
    torch.testing.assert_close(generalised_mean(patches, equal, 1.0), patches.mean(1))
    torch.testing.assert_close(
        generalised_mean(patches, equal, 100.0), patches.amax(1), rtol=0.05, atol=0.0
    )
    assert float(generalised_mean(-patches, equal, 3.0).abs().max()) == 0.0


def test_equal_steps_have_equal_weights() -> None:
    steps = torch.ones(1, 4, 3)
    torch.testing.assert_close(deviation_weights(steps, 9.0), torch.full((1, 4), 0.25))
    steps[0, 2] = 5.0  # deviations 1 : 1 : 3 : 1
    weights = deviation_weights(steps, 2.0)[0]
    torch.testing.assert_close(weights[2] / weights[0], torch.tensor(2.25))


class Sum(nn.Module):
    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors.sum(1)


class MeanOverTime(nn.Module):
    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return patches.mean(1)


def test_contributions_are_the_summands_of_a_score_that_is_a_mean_over_time() -> None:
    patches = torch.rand(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    scores = PatchScores(MeanOverTime(), [PerTarget([Sum()]) for _ in range(3)])
    target = torch.zeros(2, dtype=torch.int64)
    torch.testing.assert_close(scores(patches, target), patches.mean(1).sum(2))
    contributions = scores.contributions(patches, target)
    torch.testing.assert_close(contributions, patches.sum(3).transpose(1, 2), rtol=1e-4, atol=1e-5)
    single = scores.contributions(patches[:, :1], target)
    torch.testing.assert_close(single[:, :, 0], scores(patches[:, :1], target))


def test_the_evidence_shows_the_time_and_the_band_of_a_fault(
    trained: Callable[[str], LoadedModel],
) -> None:
    model = trained("beats")
    normal = hum(80, 500.0)
    faulty = normal.copy()
    faulty[:2400] += 3.0 * hum(90, 2500.0)[:2400]
    evidence = model.evidence(np.stack([normal, faulty]), np.zeros(2, np.int64))
    assert evidence is not None
    assert evidence.shape == (2, 8, 6)
    centres = model.manifest.description["evidence_bands_hz"]
    assert isinstance(centres, list)
    assert len(centres) == 8
    assert centres == sorted(centres)
    increase = (evidence[1] - evidence[0]).mean(0)
    assert increase[:3].mean() > increase[3:].mean()
