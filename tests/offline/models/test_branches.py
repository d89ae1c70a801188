"""The branches have the published sizes, and can be exported."""

import pytest
import torch

from asd_monitor.model_file import script
from asd_offline.models.adacos.branches import Branches, SpectrogramBranch, SpectrumBranch
from asd_offline.models.adacos.recipe import (
    AdacosRecipe,
    MultiresAdacosRecipe,
    SpectralAdacosRecipe,
)

SAMPLES = 8000


def small_branches() -> Branches:
    torch.manual_seed(0)
    return Branches([SpectrumBranch(SAMPLES, 16), SpectrogramBranch(256, 128, dims=16)])


@pytest.mark.parametrize(
    ("recipe", "weights"),
    [(SpectralAdacosRecipe, 2_561_552), (MultiresAdacosRecipe, 5_067_312)],
)
def test_the_networks_have_the_published_number_of_weights_at_10_s(
    recipe: type[AdacosRecipe], weights: int
) -> None:
    branches = recipe.model_validate({"window_s": 10.0}).branches()
    assert sum(parameter.numel() for parameter in branches.parameters()) == weights


@pytest.mark.parametrize("amplitude", [0.0, 1e-5, 1.0])
def test_embeddings_and_gradients_are_finite_at_any_level(amplitude: float) -> None:
    branches = small_branches()
    embeddings = branches(amplitude * torch.randn(4, SAMPLES))
    assert all(e.shape == (4, 16) and e.isfinite().all() for e in embeddings)
    sum(embedding.square().sum() for embedding in embeddings).backward()
    for parameter in branches.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_the_gradient_reaches_every_weight() -> None:
    branches = small_branches()
    directions = torch.randn(2, 8, 16)
    embeddings = branches(torch.randn(8, SAMPLES))
    sum(
        (e * direction).sum() for e, direction in zip(embeddings, directions, strict=True)
    ).backward()
    for name, parameter in branches.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_no_layer_has_a_bias_that_could_make_all_embeddings_equal() -> None:
    names = [name for name, _ in small_branches().named_parameters()]
    assert not [name for name in names if name.endswith("bias")]


def test_an_embedding_does_not_depend_on_the_rest_of_the_batch() -> None:
    branches = small_branches()
    windows = torch.randn(5, SAMPLES)
    branches(windows)
    branches.eval()
    batch = branches(windows)
    single = [branches(window[None]) for window in windows]
    for index, embeddings in enumerate(batch):
        expected = torch.cat([row[index] for row in single])
        torch.testing.assert_close(embeddings, expected, rtol=1e-4, atol=1e-5)


def test_scripted_branches_give_the_same_embeddings() -> None:
    branches = small_branches().eval()
    windows = torch.randn(2, SAMPLES)
    for eager, scripted in zip(branches(windows), script(branches)(windows), strict=True):
        torch.testing.assert_close(scripted, eager)


def test_subtracting_the_mean_removes_stationary_sound() -> None:
    spectrogram = SpectrogramBranch(256, 128).spectrogram
    tone = torch.sin(2 * torch.pi * torch.arange(SAMPLES) / 32)  # 4 periods a hop
    assert spectrogram(tone[None]).abs().max() < 1e-3
    assert SpectrogramBranch(256, 128, subtract_mean=False).spectrogram(tone[None]).max() > 10
