"""The branches are the published networks, and fit for a model file."""

import pytest
import torch

from asd_monitor.model_file import script
from asd_offline.models.adacos.branches import Branches, SpectrogramBranch, SpectrumBranch
from asd_offline.models.adacos.multires import MultiresAdacosRecipe
from asd_offline.models.adacos.spectral import SpectralAdacosRecipe

SHORT = 8000


def _branches() -> Branches:
    torch.manual_seed(0)
    return Branches([SpectrumBranch(SHORT, 16), SpectrogramBranch(256, 128, dims=16)])


def test_dual_network_has_2_56_million_weights_at_10_s() -> None:
    recipe = SpectralAdacosRecipe(window_s=10.0)
    assert sum(each.numel() for each in recipe.branches().parameters()) == 2_561_552


def test_multi_resolution_network_has_5_07_million_weights_at_10_s() -> None:
    recipe = MultiresAdacosRecipe(window_s=10.0)
    assert sum(each.numel() for each in recipe.branches().parameters()) == 5_067_312


@pytest.mark.parametrize("amplitude", [0.0, 1e-5, 1.0])
def test_embeddings_and_gradients_are_finite_at_any_level(amplitude: float) -> None:
    branches = _branches()
    embeddings = branches(amplitude * torch.randn(4, SHORT))
    assert all(each.shape == (4, 16) and each.isfinite().all() for each in embeddings)
    sum(each.square().sum() for each in embeddings).backward()
    for each in branches.parameters():
        assert each.grad is not None
        assert each.grad.isfinite().all()


def test_gradient_reaches_every_weight() -> None:
    branches = _branches()
    aims = torch.randn(2, 8, 16)
    embeddings = branches(torch.randn(8, SHORT))
    sum((each * aim).sum() for each, aim in zip(embeddings, aims, strict=True)).backward()
    for name, each in branches.named_parameters():
        assert each.grad is not None, name
        assert each.grad.any(), name


def test_no_layer_has_a_bias_that_could_answer_alike_for_all_sound() -> None:
    assert not [name for name, _ in _branches().named_parameters() if name.endswith("bias")]


def test_a_window_is_embedded_alike_alone_and_in_a_batch() -> None:
    branches = _branches()
    windows = torch.randn(5, SHORT)
    branches(windows)
    branches.eval()
    together = branches(windows)
    alone = [branches(window[None]) for window in windows]
    for place, each in enumerate(together):
        torch.testing.assert_close(each, torch.cat([a[place] for a in alone]), rtol=1e-4, atol=1e-5)


def test_scripted_branches_give_the_same_embeddings() -> None:
    branches = _branches().eval()
    windows = torch.randn(2, SHORT)
    for expected, found in zip(branches(windows), script(branches)(windows), strict=True):
        torch.testing.assert_close(found, expected)


def test_spectrogram_branch_with_mean_taken_off_does_not_hear_what_never_changes() -> None:
    spectrogram = SpectrogramBranch(256, 128).spectrogram
    hop_tone = torch.sin(2 * torch.pi * torch.arange(SHORT) / 32)  # 4 periods a hop
    assert spectrogram(hop_tone[None]).abs().max() < 1e-3
    assert SpectrogramBranch(256, 128, subtract_mean=False).spectrogram(hop_tone[None]).max() > 10
