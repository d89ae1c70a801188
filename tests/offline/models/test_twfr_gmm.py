"""Time-weighted spectra: the two ends of the decay, its choice without labels, and the file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from asd_monitor.model_file import load
from asd_offline.export.export import export
from asd_offline.models import MODELS
from asd_offline.models.twfr_gmm import TwfrGmmRecipe, choose_decay, decay_weights, time_weighted
from asd_offline.training.prepare import prepare
from asd_offline.training.run import train
from tests.offline.small_sounds import CPU, Silent, hum, make_set, prepared_set, request

RECIPE = TwfrGmmRecipe(sample_rate_hz=8000, n_fft=256, hop_length=128, n_mels=16)


def test_decay_one_is_the_mean_and_zero_the_maximum_over_time() -> None:
    log_mel = torch.randn(3, 40, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(time_weighted(log_mel, torch.ones(3)), log_mel.mean(1), atol=1e-6)
    assert torch.equal(time_weighted(log_mel, torch.zeros(3)), log_mel.amax(1))
    between = time_weighted(log_mel, torch.full((3,), 0.9))
    assert bool((between > log_mel.mean(1)).all())
    assert bool((between < log_mel.amax(1)).all())


def test_weights_fall_by_the_decay_and_add_up_to_one() -> None:
    weights = decay_weights(torch.tensor([0.5]), 4)[0]
    assert torch.allclose(weights, torch.tensor([8.0, 4.0, 2.0, 1.0]) / 15.0)


def steady(clips: int, random: torch.Generator) -> torch.Tensor:
    """Every frame tells about the machine."""
    return 3.0 * torch.randn(clips, 100, 8, generator=random)


def bursts(clips: int, random: torch.Generator) -> torch.Tensor:
    """Events of a constant level, now fewer, now more of them, over a floor that drifts."""
    floor = -20.0 + 3.0 * torch.randn(clips, 1, 8, generator=random)
    sound = floor + torch.randn(clips, 100, 8, generator=random)
    for clip in range(clips):
        events = int(torch.randint(4, 30, (1,), generator=random))
        sound[clip, :events] = 0.3 * torch.randn(events, 8, generator=random)
    return sound


def test_steady_sound_gets_a_slower_decay_than_bursts() -> None:
    random = torch.Generator().manual_seed(1)
    slow = choose_decay([steady(60, random), steady(60, random)])
    fast = choose_decay([bursts(60, random)])
    assert slow.decay >= 0.94
    assert fast.decay < 0.9
    assert max(slow.visibility.values()) == slow.visibility[slow.decay]


def test_the_fitted_parameters_are_those_of_one_gaussian_per_target(tmp_path: Path) -> None:
    made = make_set(tmp_path / "set", ("fan",), ("00", "02"))
    prepared, features = prepared_set(made, tmp_path / "cache", RECIPE)
    model = MODELS["twfr_gmm"]
    prepared = prepare(model, prepared.dataset, prepared.recipe)
    detector = model.detector({}, prepared.networks, prepared.recipe, features)
    sizes = {name: tuple(value.shape) for name, value in detector.named_buffers()}
    assert sizes["decay"] == (2,)
    for place in (0, 1):
        assert sizes[f"mixtures.backends.{place}.mean"] == (1, 16)
        assert sizes[f"mixtures.backends.{place}.root"] == (1, 16, 16)


def test_a_clip_of_the_target_domain_moves_the_mixture_more_with_smote(tmp_path: Path) -> None:
    made = make_set(tmp_path / "set", clips=12)
    prepared, features = prepared_set(made, tmp_path / "cache", RECIPE)
    (target,) = prepared.targets
    clips = tuple(
        replace(clip, domain="target" if i < 2 else "source") for i, clip in enumerate(target.clips)
    )
    own = {"fan": (replace(target, clips=clips),)}
    model, means = MODELS["twfr_gmm"], []
    for share in (0.0, 1.0):
        recipe = prepared.recipe.model_copy(update={"smote_share": share, "decay": 1.0})
        detector = model.detector({}, own, recipe, features)
        means.append(dict(detector.named_buffers())["mixtures.backends.0.mean"])
    assert not torch.allclose(means[0], means[1])


@pytest.mark.parametrize("decay", [None, 0.9])
def test_it_exports_without_training_and_hears_a_whistle(
    tmp_path: Path, decay: float | None
) -> None:
    path = tmp_path / "own.yaml"
    values = RECIPE.model_copy(update={"decay": decay}).model_dump(mode="json", exclude_none=True)
    path.write_text(yaml.safe_dump(values))
    made = make_set(tmp_path / "set", ("fan", "pump"))
    asked = request(tmp_path, made, model="twfr_gmm", recipe=path)
    train(asked, CPU, Silent())
    done = export(asked.out, tmp_path / "model.asd", asked.cache)
    assert done.parity <= 1e-5
    scorer = load(done.path)
    windows = np.stack([hum(50, 500.0), hum(50, 500.0) + hum(51, 1500.0)])
    scores = scorer.score(windows, np.zeros(2, np.int64))
    assert scores[1] > scores[0] + 10
    found = done.manifest.description["decay_by_target"]
    assert isinstance(found, list)
    assert decay is None or found == [0.9, 0.9]
