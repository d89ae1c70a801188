"""Anomaly Transformer: published size, associations, and the minimax loss."""

import math

import pytest
import torch

from asd_offline.models.anomaly_transformer.attention import (
    AnomalyAttention,
    divergence,
    gaussian_prior,
)
from asd_offline.models.anomaly_transformer.network import AnomalyTransformer, MinimaxLoss
from asd_offline.models.anomaly_transformer.recipe import AnomalyTransformerRecipe
from tests.offline.network_checks import noise, parameter_count, weights_without_gradient


def small_network() -> MinimaxLoss:
    recipe = AnomalyTransformerRecipe(n_mels=8, dims=8, heads=2, layers=2, hidden=8)
    torch.manual_seed(0)
    return MinimaxLoss(recipe, torch.zeros(8), torch.ones(8))


@pytest.mark.parametrize(("channels", "parameters"), [(38, 4_828_222), (128, 5_012_632)])
def test_the_network_has_the_published_number_of_parameters(channels: int, parameters: int) -> None:
    # The original has one more layer norm per layer, of 2 * 512 values, which it never uses.
    assert parameter_count(AnomalyTransformer(channels)) + 3 * 2 * 512 == parameters


@pytest.mark.parametrize("frames", [2, 7, 100])
def test_the_prior_is_a_gaussian_for_any_number_of_frames(frames: int) -> None:
    prior = gaussian_prior(torch.full((1, 1, frames), 1.5))
    assert prior.shape == (1, 1, frames, frames)
    torch.testing.assert_close(prior.sum(-1), torch.ones(1, 1, frames))
    ratio = float(prior[0, 0, 0, 1] / prior[0, 0, 0, 0])
    assert ratio == pytest.approx(math.exp(-1 / (2 * 1.5**2)), rel=1e-4)


def test_the_narrowest_prior_is_finite() -> None:
    prior = gaussian_prior(torch.full((1, 1, 50), 3.0**1e-5 - 1.0))
    assert bool(torch.isfinite(prior).all())


def test_associations_sum_to_one_and_have_no_divergence_from_themselves() -> None:
    _, series, prior = AnomalyAttention(8, 2)(noise(3, 11, 8))
    for association in (series, prior):
        torch.testing.assert_close(association.sum(-1), torch.ones(3, 2, 11))
        assert float(divergence(association, association).detach().abs().max()) == 0.0
    assert float(divergence(series, prior).detach().min()) >= -1e-4


def test_one_backward_pass_through_the_sum_equals_the_two_published_ones() -> None:
    by_sum, by_phase = small_network(), small_network()
    frames = noise(4, 20, 8)
    by_sum(frames).backward()
    maximise, minimise = by_phase.losses(frames)
    maximise.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    minimise.backward()  # type: ignore[no-untyped-call]
    for (name, weight), other in zip(by_sum.named_parameters(), by_phase.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)
    # A key's bias adds the same to all logits of a frame, which the softmax ignores.
    names = weights_without_gradient(by_sum)
    assert [name for name in names if not name.endswith("key.bias")] == []


def test_each_phase_moves_only_one_of_the_associations() -> None:
    network = small_network()
    frames = noise(4, 20, 8)
    maximise, minimise = network.losses(frames)
    weights = dict(network.named_parameters())
    prior_weights = [weight for name, weight in weights.items() if ".width." in name]
    maximise.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    assert all(weight.grad is None for weight in prior_weights[-2:])  # of the last layer's prior
    minimise.backward()  # type: ignore[no-untyped-call]
    assert all(bool(weight.grad.abs().sum() > 0) for weight in prior_weights)  # type: ignore[union-attr]
