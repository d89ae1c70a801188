"""Time-weighted spectra: limits of the decay, its choice without labels, and the model file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asd_offline.models import MODELS
from asd_offline.models.twfr_gmm import TwfrGmmRecipe, choose_decay, decay_weights, time_weighted
from asd_offline.training.prepare import prepare
from tests.offline.model_files import recipe_file, scores_as, train_and_load
from tests.offline.small_sounds import hum, make_set, prepared_set, request

RECIPE = TwfrGmmRecipe(sample_rate_hz=8000, n_fft=256, hop_length=128, n_mels=16)


def test_decay_one_is_the_mean_and_zero_the_maximum_over_time() -> None:
    log_mel = torch.randn(3, 40, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(time_weighted(log_mel, torch.ones(3)), log_mel.mean(1), atol=1e-6)
    assert torch.equal(time_weighted(log_mel, torch.zeros(3)), log_mel.amax(1))
    weighted = time_weighted(log_mel, torch.full((3,), 0.9))
    assert bool((weighted > log_mel.mean(1)).all())
    assert bool((weighted < log_mel.amax(1)).all())


def test_weights_decay_geometrically_and_sum_to_one() -> None:
    weights = decay_weights(torch.tensor([0.5]), 4)[0]
    assert torch.allclose(weights, torch.tensor([8.0, 4.0, 2.0, 1.0]) / 15.0)


def steady(clips: int, random: torch.Generator) -> torch.Tensor:
    """Return clips whose frames are all informative."""
    return 3.0 * torch.randn(clips, 100, 8, generator=random)


def bursts(clips: int, random: torch.Generator) -> torch.Tensor:
    """Return clips with a varying number of events of constant level over a drifting floor."""
    floor = -20.0 + 3.0 * torch.randn(clips, 1, 8, generator=random)
    sound = floor + torch.randn(clips, 100, 8, generator=random)
    for clip in range(clips):
        events = int(torch.randint(4, 30, (1,), generator=random))
        sound[clip, :events] = 0.3 * torch.randn(events, 8, generator=random)
    return sound


def test_steady_sound_has_a_slower_decay_than_bursts() -> None:
    random = torch.Generator().manual_seed(1)
    slow = choose_decay([steady(60, random), steady(60, random)])
    fast = choose_decay([bursts(60, random)])
    assert slow.decay >= 0.94
    assert fast.decay < 0.9
    assert max(slow.auc.values()) == slow.auc[slow.decay]


def test_each_target_has_one_gaussian(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set", ("fan",), ("00", "02"))
    prepared, features = prepared_set(dataset, tmp_path / "cache", RECIPE)
    model = MODELS["twfr_gmm"]
    prepared = prepare(model, prepared.dataset, prepared.recipe)
    detector = model.detector({}, prepared.networks, prepared.recipe, features)
    sizes = {name: tuple(value.shape) for name, value in detector.named_buffers()}
    assert sizes["decay"] == (2,)
    for index in (0, 1):
        assert sizes[f"mixtures.backends.{index}.mean"] == (1, 16)
        assert sizes[f"mixtures.backends.{index}.root"] == (1, 16, 16)


def test_smote_gives_target_domain_clips_more_weight(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set", clips=12)
    prepared, features = prepared_set(dataset, tmp_path / "cache", RECIPE)
    (target,) = prepared.targets
    clips = tuple(
        replace(clip, domain="target" if i < 2 else "source") for i, clip in enumerate(target.clips)
    )
    targets = {"fan": (replace(target, clips=clips),)}
    model, means = MODELS["twfr_gmm"], []
    for share in (0.0, 1.0):
        recipe = prepared.recipe.model_copy(update={"smote_share": share, "decay": 1.0})
        detector = model.detector({}, targets, recipe, features)
        means.append(dict(detector.named_buffers())["mixtures.backends.0.mean"])
    assert not torch.allclose(means[0], means[1])


@pytest.mark.parametrize("decay", [None, 0.9])
def test_it_exports_without_training_and_detects_a_whistle(
    tmp_path: Path, decay: float | None
) -> None:
    settings = RECIPE.model_copy(update={"decay": decay}).model_dump(
        mode="json", exclude_none=True, exclude={"model", "sample_rate_hz"}
    )
    recipe = recipe_file(tmp_path, "twfr_gmm", **settings)
    dataset = make_set(tmp_path / "set", ("fan", "pump"))
    model = train_and_load(request(tmp_path, dataset, model="twfr_gmm", recipe=recipe))
    windows = np.stack([hum(50, 500.0), hum(50, 500.0) + hum(51, 1500.0)])
    normal, whistle = scores_as(model, "fan/id_00", windows)
    assert whistle > normal + 10
    decays = model.manifest.description["decay_by_target"]
    assert isinstance(decays, list)
    assert decay is None or decays == [0.9, 0.9]
