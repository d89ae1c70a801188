"""Back ends that a recipe names: one, or several whose scores are put together."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.model_file import load, script
from asd_offline.export.export import export
from asd_offline.models.adacos.spectral import SpectralAdacosRecipe
from asd_offline.models.backend_choice import BACK_ENDS, BackEnd, Choice, fit_chosen
from asd_offline.models.pretrained.method import PretrainedRecipe
from asd_offline.recipes import read_recipe
from asd_offline.training.run import train
from tests.offline.small_sounds import CPU, RATE_HZ, Silent, hum, make_set, request

SMALL = f"""
model: spectral_adacos
sample_rate_hz: {RATE_HZ}
n_fft: 256
hop_length: 128
embedding_dims: 16
sub_clusters: 2
batch_size: 16
epochs: 2
auc_every: 0
pseudo_classes: false
views: false
"""
SEVERAL: tuple[Choice, ...] = (
    ("density_neighbours", "mahalanobis"),
    ("lof", "kmeans", "selective_mahalanobis"),
)
CLIPS = torch.arange(40) // 2
TARGET_DOMAIN = torch.arange(40) >= 36


def near() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return F.normalize(torch.tensor([1.0, 0, 0]) + 0.1 * torch.randn(40, 3, generator=generator))


def recipe(folder: Path, more: str) -> Path:
    path = folder / "chosen.yaml"
    path.write_text(SMALL + more)
    return path


@pytest.mark.parametrize("choice", [*BACK_ENDS, *SEVERAL], ids=str)
def test_every_choice_finds_what_is_far_away_odd(choice: Choice) -> None:
    backend = script(fit_chosen(choice, near(), CLIPS, TARGET_DOMAIN))
    with torch.inference_mode():
        odd = backend(F.normalize(torch.tensor([[0.0, 1.0, 1.0]])))
        assert float(odd) > float(backend(near()).max())


def test_several_are_each_on_the_scale_of_clips_that_were_left_out() -> None:
    names: tuple[BackEnd, ...] = ("density_neighbours", "mahalanobis")
    together = fit_chosen(names, near(), CLIPS, TARGET_DOMAIN, fusion="mean")
    apart = [fit_chosen((name, "lof"), near(), CLIPS, TARGET_DOMAIN) for name in names]
    queries = near()[:5]
    voices = [
        (each.backends[0](queries) - each.centre[0]) * each.inverse_scale[0]  # type: ignore[index,operator]
        for each in apart
    ]
    expected = torch.stack(voices).mean(0)
    assert torch.allclose(together(queries), expected, atol=1e-4)


@pytest.mark.parametrize(
    "choice", ["gmm", "[density_neighbours, mahalanobis]", "selective_mahalanobis"]
)
def test_a_recipes_choice_is_in_the_model_file(tmp_path: Path, choice: str) -> None:
    made = make_set(tmp_path / "set", ("fan", "pump"), ("00",))
    asked = request(
        tmp_path,
        made,
        model="spectral_adacos",
        recipe=recipe(tmp_path, f"back_end: {choice}"),
    )
    train(asked, CPU, Silent())
    export(asked.out, tmp_path / "model.pt", asked.cache)
    scorer = load(tmp_path / "model.pt")
    # hum at 500 Hz is fan id_00; pump id_00 is 600 Hz.
    windows = np.stack([hum(60 + i, 500.0) for i in range(6)])
    own = scorer.score(windows, np.full(6, scorer.target_index("fan/id_00")))
    other = scorer.score(windows, np.full(6, scorer.target_index("pump/id_00")))
    assert np.median(own) < np.median(other)


def test_too_few_clips_for_a_choice_are_told(tmp_path: Path) -> None:
    made = make_set(tmp_path / "set", ("fan",), ("00", "02"), clips=4)
    more = "back_end: [density_neighbours, lof]"
    asked = request(tmp_path, made, model="spectral_adacos", recipe=recipe(tmp_path, more))
    train(asked, CPU, Silent())
    with pytest.raises(DatasetError, match=r"fan/id_00: its \d+ clips give no bank"):
        export(asked.out, tmp_path / "model.pt", asked.cache)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("back_end: gmn", "back_end"),
        ("back_end: [gmm]", "back_end"),
        ("back_end: [gmm, gmm]", "each back end once"),
        ("back_end: gmm\nneighbours: 3", "gmm looks at none"),
        ("fusion: min", "density_neighbours stands alone"),
    ],
)
def test_a_choice_that_would_do_nothing_is_refused(tmp_path: Path, more: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_recipe(recipe(tmp_path, more), "spectral_adacos", SpectralAdacosRecipe)


@pytest.mark.parametrize("more", ["back_end: gmm", "neighbours: 3"])
def test_with_the_views_there_is_no_choice(tmp_path: Path, more: str) -> None:
    path = recipe(tmp_path, more)
    path.write_text(path.read_text().replace("views: false\n", ""))
    with pytest.raises(ConfigError, match="expected views: false"):
        read_recipe(path, "spectral_adacos", SpectralAdacosRecipe)


def test_the_pretrained_models_recipe_has_the_same_choice() -> None:
    values = {"checkpoint": "beats.pt", "sha256": "0" * 64}
    chosen = PretrainedRecipe.model_validate(
        values | {"back_end": ["gmm", "lof"], "neighbours": 5, "fusion": "mean"}
    )
    assert chosen.back_end == ("gmm", "lof")
    with pytest.raises(ValueError, match="looks at none"):
        PretrainedRecipe.model_validate(values | {"back_end": ["gmm", "kmeans"], "neighbours": 5})
