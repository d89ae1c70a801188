"""The model `pretrained`: recipe, banks, fine-tuning, and the file that comes of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional as F

from asd_monitor.errors import ConfigError
from asd_monitor.model_file import load
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_offline.datasets.loading import open_dataset
from asd_offline.export.export import export
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.pretrained.method import PretrainedRecipe
from asd_offline.models.pretrained.pooling import Bands, BandScores, ByBand, PatchPooling
from asd_offline.recipes import read_recipe
from asd_offline.training.prepare import prepare
from asd_offline.training.run import TrainRequest, train
from tests.offline.small_checkpoints import checkpoint, sha256
from tests.offline.small_sounds import CPU, RATE_HZ, Silent, hum, make_set, request
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
    "auc_every": 0,
}
RECIPES = CONFIGS / "train"


def recipe_file(folder: Path, architecture: str, **changes: object) -> Path:
    path = checkpoint(folder, architecture)
    values = {
        "model": "pretrained",
        "sample_rate_hz": RATE_HZ,
        "checkpoint": str(path),
        "sha256": sha256(path),
        **changes,
    }
    written = folder / f"{architecture}.yaml"
    written.write_text(yaml.safe_dump(values))
    return written


def asked(folder: Path, architecture: str, **changes: object) -> TrainRequest:
    made = make_set(folder / "set", ("fan", "pump"), ("00",), 6)
    recipe = recipe_file(folder, architecture, **changes)
    return request(folder, made, model="pretrained", recipe=recipe)


CASES: dict[str, tuple[str, dict[str, object]]] = {
    "beats": ("beats", {}),
    "beats fine-tuned": ("beats", FINE_TUNED),
    "ced": ("ced", {"pool": "mean_max", "bands": "joined", "back_end": "lof"}),
    "eat": ("eat", {"bands": "pooled", "back_end": "neighbours"}),
    "eat fine-tuned": ("eat", FINE_TUNED | {"lora_rank": 0}),
}


@pytest.fixture(scope="module", params=CASES)
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    architecture, changes = CASES[request.param]
    folder = tmp_path_factory.mktemp("pretrained")
    wanted = asked(folder, architecture, **changes)
    train(wanted, CPU, Silent())
    exported = export(wanted.out, folder / "model.pt", wanted.cache)
    assert exported.parity <= 1e-5
    return load(folder / "model.pt")


def test_a_model_file_names_its_checkpoint(scorer: LoadedModel) -> None:
    described = scorer.manifest.description
    assert described["architecture"] in {"beats", "ced", "eat"}
    assert described["checkpoint_sha256"] == described["recipe"]["sha256"]  # type: ignore[index,call-overload]
    assert scorer.manifest.targets == ("fan/id_00", "pump/id_00")


def test_a_fault_scores_above_normal_sound(scorer: LoadedModel) -> None:
    target = np.full(6, scorer.target_index("fan/id_00"))
    normal = np.stack([hum(80 + i, 500.0) for i in range(6)])
    faulty = normal + np.stack([3.0 * hum(90 + i, 1500.0) for i in range(6)]).astype(np.float32)
    assert scorer.score(faulty, target).min() > scorer.score(normal, target).max()


def test_scores_are_finite_on_silence_and_alike_alone_and_in_a_batch(scorer: LoadedModel) -> None:
    windows = np.stack([hum(7, 500.0), np.zeros(RATE_HZ, np.float32), hum(8, 640.0)])
    targets = np.array([0, 1, 1])
    together = scorer.score(windows, targets)
    alone = [scorer.score(windows[i : i + 1], targets[i : i + 1])[0] for i in range(3)]
    assert np.all(np.isfinite(together))
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-5)


def test_what_a_window_is_made_into_is_kept_between_exports(tmp_path: Path) -> None:
    wanted = asked(tmp_path, "ced")
    train(wanted, CPU, Silent())
    computed: list[tuple[int, int]] = []

    def told(done: int, total: int) -> None:
        computed.append((done, total))

    export(wanted.out, tmp_path / "a.pt", wanted.cache, features_progress=told)
    assert computed
    computed.clear()
    export(wanted.out, tmp_path / "b.pt", wanted.cache, features_progress=told)
    assert not computed


def test_banks_hold_training_clips_only_and_no_more_than_asked(tmp_path: Path) -> None:
    wanted = asked(tmp_path, "beats", bank_windows=3)
    model = MODELS["pretrained"]
    recipe = read_recipe(wanted.recipe, "pretrained", model.recipe)
    for at_most, expected in ((3, 3), (1000, 4)):
        changed = recipe.model_copy(update={"bank_windows": at_most})
        prepared = prepare(model, open_dataset(wanted.dataset), changed)
        features = FeatureCache(wanted.cache)
        network = prepared.new_task("all", 0, features).network
        detector = model.detector({"all": network}, prepared.networks, prepared.recipe, features)
        sizes = {len(each) for name, each in detector.named_buffers() if name.endswith(".bank")}
        assert sizes == {expected}  # two of six clips are held out


def test_unusable_weights_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    wanted = asked(tmp_path, "eat", sha256="0" * 64)
    with pytest.raises(ConfigError, match="expected SHA-256 000"):
        train(wanted, CPU, Silent())
    assert not wanted.out.exists()


def test_a_window_that_the_weights_do_not_take_is_refused(tmp_path: Path) -> None:
    wanted = asked(tmp_path, "ced", window_s=0.1)
    with pytest.raises(ConfigError, match=r"window_s: expected 0\.15 to 2\.07 s.*ced.* 0\.10 s"):
        train(wanted, CPU, Silent())


def test_fine_tuning_stopped_and_resumed_gives_the_same_network(tmp_path: Path) -> None:
    wanted = asked(tmp_path, "ced", **FINE_TUNED)
    train(wanted, CPU, Silent())
    stopped = replace(wanted, out=tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        train(stopped, CPU, Silent(stop_at_epoch=1))
    train(replace(stopped, resume=True), CPU, Silent())
    last = [
        torch.load(next((out / "networks" / "all").glob("epoch-*2-*.pt")), weights_only=True)
        for out in (wanted.out, stopped.out)
    ]
    for name, weight in last[0]["weights"].items():
        assert torch.equal(weight, last[1]["weights"][name]), name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sha256": "abc"}, "sha256"),
        ({"checkpoint": None}, "checkpoint"),
        ({"pool": "attention", "bands": "pooled"}, "expected mean or mean_max with epochs: 0"),
        ({"epochs": 3, "bands": "pooled"}, "expected attention with epochs: 3"),
        ({"epochs": 3, "pool": "attention"}, "bands: expected pooled"),
        ({"back_end": "mahalanobis", "neighbours": 3}, "mahalanobis looks at none"),
        ({"settle_batch_norm": True}, "settle_batch_norm"),
    ],
)
def test_settings_that_would_do_nothing_or_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        read_recipe(recipe_file(tmp_path, "ced", **changes), "pretrained", PretrainedRecipe)


def test_a_recipe_without_weights_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="checkpoint"):
        read_recipe(None, "pretrained", PretrainedRecipe)


def test_the_shipped_recipe_is_the_defaults() -> None:
    shipped = read_recipe(RECIPES / "pretrained.yaml", "pretrained", PretrainedRecipe)
    assert isinstance(shipped, PretrainedRecipe)
    plain = PretrainedRecipe(checkpoint=shipped.checkpoint, sha256=shipped.sha256)
    assert shipped == plain


def test_the_checkpoint_is_found_from_wherever_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = PretrainedRecipe(checkpoint=Path("weights/a.pt"), sha256="0" * 64)
    assert recipe.checkpoint == tmp_path / "weights" / "a.pt"


@pytest.mark.parametrize(
    ("bands", "vectors", "values"), [("apart", 8, 5), ("joined", 1, 40), ("pooled", 1, 5)]
)
def test_patches_are_pooled_over_time_or_over_time_and_bands(
    bands: Bands, vectors: int, values: int
) -> None:
    patches = torch.randn(3, 6, 8, 5, generator=torch.Generator().manual_seed(0))
    pooled = PatchPooling("mean", bands)(patches)
    assert pooled.shape == (3, vectors, values)
    torch.testing.assert_close(pooled.norm(dim=2), torch.ones(3, vectors))
    over = (1, 2) if bands == "pooled" else 1
    mean = patches.mean(over).reshape(3, vectors, values)
    torch.testing.assert_close(pooled, F.normalize(mean, dim=2))
    both = PatchPooling("mean_max", bands)(patches)
    most = patches.amax(over).reshape(3, vectors, values)
    torch.testing.assert_close(both[:, :, :values] * 2**0.5, F.normalize(mean, dim=2))
    torch.testing.assert_close(both[:, :, values:] * 2**0.5, F.normalize(most, dim=2))


class Sum(nn.Module):
    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors.sum(1)


class MeanOverTime(nn.Module):
    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return patches.mean(1)


def test_evidence_is_what_each_moment_of_each_band_adds_to_the_score() -> None:
    patches = torch.rand(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    scores = BandScores(MeanOverTime(), [ByBand([Sum(), Sum(), Sum()])])
    target = torch.zeros(2, dtype=torch.int64)
    torch.testing.assert_close(scores(patches, target), patches.mean(1).sum(2))
    # The sum of a mean over time is a mean over time, so its summands are found exactly.
    added = scores.of_patches(patches, target)
    torch.testing.assert_close(added, patches.sum(3).transpose(1, 2), rtol=1e-4, atol=1e-5)
    alone = scores.of_patches(patches[:, :1], target)
    torch.testing.assert_close(alone[:, :, 0], scores(patches[:, :1], target))


def test_a_model_file_shows_the_moment_and_the_band_of_a_fault(tmp_path: Path) -> None:
    wanted = asked(tmp_path, "beats")
    train(wanted, CPU, Silent())
    export(wanted.out, tmp_path / "model.pt", wanted.cache)
    scorer = load(tmp_path / "model.pt")
    window = hum(80, 500.0)
    beginning = window.copy()
    beginning[:2400] += 3.0 * hum(90, 2500.0)[:2400]
    target = np.zeros(1, np.int64)
    quiet, loud = (scorer.evidence(each[None], target) for each in (window, beginning))
    assert quiet is not None
    assert loud is not None
    assert loud.shape == (1, 8, 6)
    centres = scorer.manifest.description["evidence_bands_hz"]
    assert isinstance(centres, list)
    assert len(centres) == 8
    assert centres == sorted(centres)
    rise = (loud - quiet)[0].mean(0)
    assert rise[:3].mean() > rise[3:].mean()
