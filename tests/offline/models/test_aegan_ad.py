"""AEGAN-AD: published sizes, the losses of both steps, and the scores."""

import math

import pytest
import torch
from torch import Tensor, nn

from asd_monitor.backends.lof import fit_lof
from asd_offline.models.aegan_ad.network import (
    DISCRIMINATOR_STEP,
    GENERATOR_STEP,
    AeganAd,
    Discriminator,
    Generator,
    gradient_penalty,
)
from asd_offline.models.aegan_ad.recipe import AeganAdRecipe
from asd_offline.models.aegan_ad.scores import SCORES
from tests.offline.network_checks import noise, parameter_count, weights_without_gradient


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (Generator(), 10_781_696),
        (Generator(norm="batch"), 9_769_856),
        (Generator(first_norm=False), 10_519_552),
        (Discriminator(), 3_303_425),
    ],
)
def test_the_networks_have_the_published_number_of_parameters(
    network: nn.Module, parameters: int
) -> None:
    assert parameter_count(network) == parameters


@pytest.mark.parametrize(
    ("step", "trained", "other"),
    [
        (DISCRIMINATOR_STEP, "discriminator", "generator"),
        (GENERATOR_STEP, "generator", "discriminator"),
    ],
)
def test_each_step_trains_one_network_and_not_the_other(
    step: int, trained: str, other: str
) -> None:
    recipe = AeganAdRecipe(channels=2, code=4, matching="mean_and_deviation")
    network = AeganAd(recipe, torch.tensor(-3.0), torch.tensor(3.0))
    network(noise(3, 128, 128), step).backward()
    # The critic's bias cancels in the difference between segments and reconstructions.
    without_gradient = weights_without_gradient(network.get_submodule(trained))
    assert set(without_gradient) <= {"critic.2.bias"}
    assert all(weight.grad is None for weight in network.get_submodule(other).parameters())


def test_the_gradient_penalty_is_zero_for_a_critic_with_slope_one() -> None:
    class Ramp(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x.flatten(1).sum(1) / math.sqrt(x[0].numel())

    penalty = gradient_penalty(Ramp(), noise(4, 1, 8, 8), noise(4, 1, 8, 8) + 1.0)
    assert float(penalty) == pytest.approx(0.0, abs=1e-9)


def test_there_are_nineteen_scores() -> None:
    assert len(set(SCORES)) == 19


def test_lof_by_cosine_equals_scikit_learns() -> None:
    from sklearn.neighbors import LocalOutlierFactor

    known, new = noise(40, 6) + 1.0, noise(55, 6)[40:] + 1.0
    theirs = LocalOutlierFactor(n_neighbors=4, metric="cosine", novelty=True).fit(known.numpy())
    expected = torch.from_numpy(-theirs.score_samples(new.numpy())).float()
    scores = fit_lof(known, count=4, cosine=True)(new)
    torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-3)


def test_the_deviations_to_match_are_over_n_as_in_the_authors_program() -> None:
    torch.manual_seed(0)
    recipe = AeganAdRecipe(channels=4, code=8, matching="mean_and_deviation")
    network = AeganAd(recipe, torch.tensor(-80.0), torch.tensor(0.0)).eval()
    real = torch.rand(3, 1, 128, 128) * 2 - 1
    with torch.no_grad():
        reconstruction = network.generator(real)
        expected, embedding = (network.discriminator(x)[0] for x in (real, reconstruction))

        def deviation(features: Tensor) -> Tensor:
            return (features - features.mean(0)).square().mean(0).sqrt()

        matching = (embedding.mean(0) - expected.mean(0)).square().mean()
        matching += (deviation(embedding) - deviation(expected)).square().mean()
        loss = (reconstruction - real).square().mean() + network.matching_weight * matching
        assert network.generator_loss(real).item() == pytest.approx(loss.item(), rel=1e-5)
