"""The backends compared with scikit-learn, and properties of all of them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asd_monitor.backends.density_ensemble import fit_density_ensemble
from asd_monitor.backends.density_neighbours import fit_density_neighbours
from asd_monitor.backends.lof import fit_lof
from asd_monitor.backends.mahalanobis import (
    fit_mahalanobis,
    fit_whitening,
    ledoit_wolf_shrinkage,
)
from asd_monitor.backends.neighbours import fit_neighbours
from asd_monitor.backends.per_target import PerTarget
from asd_monitor.model_file import script

ALL: dict[str, Callable[[Tensor], nn.Module]] = {
    "neighbours": fit_neighbours,
    "cosine": lambda x: fit_neighbours(x, count=3, cosine=True),
    "density": fit_density_neighbours,
    "ensemble": fit_density_ensemble,
    "lof": fit_lof,
    "mahalanobis": fit_mahalanobis,
}


def normal(items: int, dims: int = 12, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(items, dims, generator=generator) * torch.linspace(0.3, 3.0, dims)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_agree_with_scikit_learn(metric: str) -> None:
    from sklearn.neighbors import NearestNeighbors

    bank, queries = normal(80), normal(30, seed=1)
    oracle = NearestNeighbors(n_neighbors=3, metric=metric).fit(bank.numpy())
    expected = oracle.kneighbors(queries.numpy())[0].mean(1)
    found = fit_neighbours(bank, count=3, cosine=metric == "cosine")(queries)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 4, 10])
def test_lof_agrees_with_scikit_learn(count: int) -> None:
    from sklearn.neighbors import LocalOutlierFactor

    bank, queries = normal(80), normal(30, seed=1) * 1.5
    oracle = LocalOutlierFactor(n_neighbors=count, novelty=True).fit(bank.numpy())
    expected = -oracle.score_samples(queries.numpy())
    found = fit_lof(bank, count=count)(queries)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("items", [8, 40, 300])
def test_shrinkage_and_distance_agree_with_scikit_learn(items: int) -> None:
    from sklearn.covariance import LedoitWolf

    features, queries = normal(items, 20), normal(30, 20, seed=1)
    oracle = LedoitWolf().fit(features.double().numpy())
    centred = features.double() - features.double().mean(0)
    assert ledoit_wolf_shrinkage(centred) == pytest.approx(oracle.shrinkage_, rel=1e-9)
    expected = np.sqrt(oracle.mahalanobis(queries.double().numpy()))
    found = fit_mahalanobis(features, min_variance=1e-12)(queries)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def test_density_neighbours_are_the_smallest_distance_over_radius() -> None:
    bank, queries = normal(40), normal(10, seed=1)
    between = np.linalg.norm(bank.numpy()[:, None] - bank.numpy(), axis=2)
    np.fill_diagonal(between, np.inf)
    radius = np.sort(between, axis=1)[:, :4].mean(1)
    radius = np.maximum(radius, np.quantile(radius, 0.05))
    distances = np.linalg.norm(queries.numpy()[:, None] - bank.numpy(), axis=2)
    expected = (distances / radius).min(1)
    np.testing.assert_allclose(fit_density_neighbours(bank)(queries), expected, rtol=1e-4)


def test_whitened_features_have_unit_variance_with_many_samples() -> None:
    features = normal(5000)
    covariance = torch.cov(fit_whitening(features)(features).t())
    np.testing.assert_allclose(covariance, np.eye(12), atol=0.15)


@pytest.mark.parametrize("fit", [fit_lof, fit_density_neighbours])
def test_copies_within_a_group_do_not_make_each_other_normal(
    fit: Callable[[Tensor, Tensor | None], nn.Module],
) -> None:
    single, queries = normal(40), normal(10, seed=1)
    doubled = single.repeat_interleave(2, 0)
    groups = torch.arange(40).repeat_interleave(2)
    grouped = fit(doubled, groups)(queries)
    naive = fit(doubled, None)(queries)
    reference = fit(single, None)(queries)
    assert (grouped - reference).abs().mean() < (naive - reference).abs().mean()


@pytest.mark.parametrize("fit", [fit_lof, fit_density_neighbours])
def test_groups_may_be_given_as_pairs(
    fit: Callable[[Tensor, Tensor | None], nn.Module],
) -> None:
    bank, queries = normal(30), normal(10, seed=1)
    groups = torch.arange(30) // 3
    by_pairs = fit(bank, groups[:, None] == groups)(queries)
    torch.testing.assert_close(fit(bank, groups)(queries), by_pairs)


@pytest.mark.parametrize("fit", [fit_lof, fit_density_neighbours])
def test_a_single_group_is_refused(
    fit: Callable[[Tensor, Tensor | None], nn.Module],
) -> None:
    with pytest.raises(ValueError, match="at least two groups"):
        fit(normal(10), torch.zeros(10, dtype=torch.int64))


@pytest.mark.parametrize("name", ALL)
def test_the_scripted_backend_gives_the_same_scores(name: str) -> None:
    backend, queries = ALL[name](normal(50)), normal(20, seed=1)
    torch.testing.assert_close(script(backend)(queries), backend(queries), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ALL)
def test_far_vectors_score_higher_than_normal_ones(name: str) -> None:
    backend = ALL[name](normal(100) + 5.0)
    assert backend(-normal(20, seed=2) - 20.0).min() > backend(normal(20, seed=1) + 5.0).max()


@pytest.mark.parametrize("name", ALL)
def test_identical_references_give_finite_scores(name: str) -> None:
    backend = ALL[name](torch.ones(20, 5))
    assert torch.isfinite(backend(torch.stack([torch.ones(5), -torch.ones(5)]))).all()


@pytest.mark.parametrize("name", ALL)
def test_a_row_has_the_same_score_alone_and_in_a_batch(name: str) -> None:
    backend, queries = ALL[name](normal(50)), normal(20, seed=1)
    one_by_one = torch.cat([backend(row[None]) for row in queries])
    torch.testing.assert_close(backend(queries), one_by_one, rtol=1e-5, atol=1e-6)


def test_the_results_of_a_targets_module_may_have_any_shape() -> None:
    doubling, squaring = nn.Identity(), nn.Flatten()
    module = script(PerTarget([doubling, nn.Sequential(squaring, nn.Unflatten(1, (2, 3)))]))
    rows = normal(6).reshape(12, 2, 3)
    torch.testing.assert_close(module(rows, torch.tensor([0, 1] * 6)), rows)


def test_each_row_is_scored_by_the_bank_of_its_target() -> None:
    banks = [fit_neighbours(normal(20, seed=seed)) for seed in range(3)]
    backend = script(PerTarget(banks))
    queries, target = normal(9, seed=9), torch.tensor([0, 1, 2] * 3)
    expected = torch.stack(
        [banks[int(t)](row[None])[0] for row, t in zip(queries, target, strict=True)]
    )
    torch.testing.assert_close(backend(queries, target), expected)
