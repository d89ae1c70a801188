"""Backends with domains, mixtures and fusion: compared with scikit-learn, and properties."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asd_monitor.backends.density_neighbours import fit_density_neighbours
from asd_monitor.backends.domain_density_neighbours import (
    DomainDensityNeighbours,
    fit_domain_density_neighbours,
)
from asd_monitor.backends.domain_neighbours import fit_domain_neighbours, oversample
from asd_monitor.backends.fusion import FitBackend, fit_normalised_fusion
from asd_monitor.backends.gmm import fit_gmm
from asd_monitor.backends.kmeans import fit_cosine_kmeans, kmeans
from asd_monitor.backends.mahalanobis import fit_mahalanobis
from asd_monitor.backends.neighbours import fit_neighbours
from asd_monitor.backends.per_target import PerTarget
from asd_monitor.backends.selective_mahalanobis import fit_selective_mahalanobis
from asd_monitor.backends.variance_minimised_neighbours import fit_variance_minimised_neighbours
from asd_monitor.model_file import script


def normal(items: int, dims: int = 6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(items, dims, generator=generator) * torch.linspace(0.3, 3.0, dims) + 1.0


TARGET = torch.arange(80) % 10 == 0


def on(vectors: Tensor, *fits: Callable[[Tensor], nn.Module]) -> list[FitBackend]:
    """Return functions that fit backends on a selection of the vectors."""

    def fit_selected(fit: Callable[[Tensor], nn.Module], selected: Tensor) -> nn.Module:
        return fit(vectors[selected])

    return [partial(fit_selected, fit) for fit in fits]


ALL: dict[str, Callable[[Tensor], nn.Module]] = {
    "kmeans": lambda x: fit_cosine_kmeans(x, TARGET[: len(x)]),
    "kmeans without a target domain": fit_cosine_kmeans,
    "smote": lambda x: fit_domain_neighbours(x, TARGET[: len(x)]),
    "smote without a target domain": fit_domain_neighbours,
    "density in domains": lambda x: fit_domain_density_neighbours(x, TARGET[: len(x)]),
    "variance minimised": fit_variance_minimised_neighbours,
    "selective": lambda x: fit_selective_mahalanobis(x, TARGET[: len(x)]),
    "gmm": fit_gmm,
    "gmm 3": lambda x: fit_gmm(x, components=3),
    "gmm best": lambda x: fit_gmm(x, components=2, best_component=True),
    "fusion": lambda x: fit_normalised_fusion(on(x, fit_neighbours, fit_mahalanobis, fit_gmm), x),
}


@pytest.mark.parametrize("name", ALL)
def test_a_backend_scripts_and_scores_far_vectors_high_and_rows_independently(name: str) -> None:
    backend = ALL[name](normal(80) + 8.0).eval()
    queries = torch.cat([normal(20, seed=1) + 8.0, -20.0 * (normal(5, seed=2) + 8.0)])
    scores = backend(queries)
    assert scores.shape == (25,)
    assert scores[20:].min() > scores[:20].max()
    scripted = script(PerTarget([backend, backend]))
    target = torch.arange(25) % 2
    assert torch.allclose(scripted(queries, target), scores, rtol=1e-5, atol=1e-5)
    single = torch.cat([backend(query[None]) for query in queries])
    assert torch.allclose(single, scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_scores_are_finite_with_fewer_vectors_than_dimensions(name: str) -> None:
    backend = ALL[name](normal(5, dims=30))
    assert torch.isfinite(backend(normal(4, dims=30, seed=3))).all()
    constant = ALL[name](torch.ones(8, 4))
    assert torch.isfinite(constant(torch.ones(2, 4))).all()


def test_kmeans_is_as_good_as_that_of_scikit_learn() -> None:
    from sklearn.cluster import KMeans

    centres = 8.0 * torch.randn(5, 6, generator=torch.Generator().manual_seed(4))
    vectors = torch.cat([centre + normal(30, seed=i) for i, centre in enumerate(centres)])
    oracle = KMeans(5, n_init=10, random_state=0).fit(vectors.numpy())
    found = kmeans(vectors, 5)
    cost = float(torch.cdist(vectors, found).amin(1).square().sum())
    assert cost == pytest.approx(oracle.inertia_, rel=1e-4)


def test_every_vector_of_the_target_domain_is_a_centre() -> None:
    vectors = normal(80)
    backend = fit_cosine_kmeans(vectors, TARGET, clusters=4)
    assert backend.centres.shape == (4 + 8, 6)
    assert backend(vectors[TARGET]).abs().max() < 1e-6


@pytest.mark.parametrize("cosine", [True, False])
def test_domain_neighbours_use_the_nearer_domain(cosine: bool) -> None:
    from sklearn.neighbors import NearestNeighbors

    vectors, queries = normal(80), normal(30, seed=1)
    metric = "cosine" if cosine else "euclidean"
    expected = np.min(
        [
            NearestNeighbors(n_neighbors=2, metric=metric)
            .fit(vectors[which].numpy())
            .kneighbors(queries.numpy())[0]
            .mean(1)
            for which in (TARGET, ~TARGET)
        ],
        axis=0,
    )
    found = fit_domain_neighbours(vectors, TARGET, count=2, cosine=cosine, share=0.0)(queries)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-6)


def test_oversampling_adds_points_between_near_vectors() -> None:
    vectors = normal(10)
    oversampled = oversample(vectors, 25)
    assert torch.equal(oversampled[:10], vectors)
    assert oversampled.shape == (25, 6)
    for point in oversampled[10:]:
        distances = torch.cdist(point[None], vectors)[0]
        detour = distances[:, None] + distances[None] - torch.cdist(vectors, vectors)
        assert detour.fill_diagonal_(torch.inf).min() < 1e-3  # on the line between two of them
    assert torch.equal(oversample(vectors, 5), vectors)
    assert torch.equal(oversample(vectors[:1], 5), vectors[:1])


def test_selective_mahalanobis_is_the_smaller_of_two_distances() -> None:
    from sklearn.covariance import LedoitWolf

    vectors, queries = normal(80), normal(30, seed=1)
    vectors[TARGET] += 5.0
    expected = np.min(
        [
            LedoitWolf().fit(vectors[w].numpy()).mahalanobis(queries.numpy())
            for w in (TARGET, ~TARGET)
        ],
        axis=0,
    )
    found = fit_selective_mahalanobis(vectors, TARGET, min_variance=0.0)(queries)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3)


def test_selective_mahalanobis_can_measure_from_zero_without_shrinkage() -> None:
    vectors, queries = normal(80), normal(3, seed=1)
    backend = fit_selective_mahalanobis(vectors, centred=False, shrink=False, min_variance=0.0)
    inverse = np.linalg.inv(np.cov(vectors.double().numpy().T, bias=True))
    expected = [query @ inverse @ query for query in queries.double().numpy()]
    np.testing.assert_allclose(backend(queries).numpy(), expected, rtol=1e-4)


def test_one_gaussian_agrees_with_scikit_learn() -> None:
    from sklearn.mixture import GaussianMixture

    vectors, queries = normal(200), normal(30, seed=1)
    oracle = GaussianMixture(1, reg_covar=1e-6).fit(vectors.double().numpy())
    found = fit_gmm(vectors, shrink=False)(queries)
    np.testing.assert_allclose(
        found.numpy(), -oracle.score_samples(queries.double().numpy()), rtol=1e-4
    )


def test_a_mixture_agrees_with_scikit_learn() -> None:
    from sklearn.mixture import GaussianMixture

    vectors = torch.cat([normal(150), normal(150, seed=3) * 0.3 + 9.0])
    queries = torch.cat([normal(15, seed=1), normal(15, seed=4) * 0.3 + 9.0])
    start = kmeans(vectors, 2).double().numpy()
    oracle = GaussianMixture(2, means_init=start, tol=1e-4).fit(vectors.double().numpy())
    expected = -oracle.score_samples(queries.double().numpy())
    found = fit_gmm(vectors, components=2, shrink=False)(queries)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3)


def test_fusion_standardises_scores_by_those_of_held_out_vectors() -> None:
    vectors = normal(100)
    backend = fit_normalised_fusion(on(vectors, fit_neighbours), vectors, rule="mean", folds=100)
    distances = torch.cdist(vectors, vectors).fill_diagonal_(torch.inf).amin(1)
    assert float(backend.centre[0]) == pytest.approx(float(distances.mean()), rel=1e-3)
    scores = backend(normal(400, seed=9))
    assert abs(float(scores.mean())) < 0.3
    assert 0.7 < float(scores.std()) < 1.5


@pytest.mark.parametrize("rule", ["min", "mean", "log_mean_exp"])
def test_fused_scores_lie_between_the_scores(rule: str) -> None:
    vectors, queries = normal(60), normal(20, seed=1)
    fits: list[Callable[[Tensor], nn.Module]] = [fit_neighbours, fit_mahalanobis]
    single = [
        fit_normalised_fusion(on(vectors, fit), vectors, rule="mean")(queries) for fit in fits
    ]
    lowest, highest = torch.stack(single).amin(0), torch.stack(single).amax(0)
    fused = fit_normalised_fusion(on(vectors, *fits), vectors, rule=rule)(queries)  # type: ignore[arg-type]
    assert bool((fused >= lowest - 1e-4).all())
    assert bool((fused <= highest + 1e-4).all())
    if rule == "min":
        assert torch.allclose(fused, lowest, atol=1e-4)


def test_fusion_keeps_a_group_in_one_fold() -> None:
    vectors = normal(20).repeat_interleave(2, dim=0)  # every vector has a copy
    groups = torch.arange(20).repeat_interleave(2)
    ungrouped = fit_normalised_fusion(on(vectors, fit_neighbours), vectors)
    grouped = fit_normalised_fusion(on(vectors, fit_neighbours), vectors, groups)
    assert float(grouped.centre[0]) > 10 * float(ungrouped.centre[0])
    with pytest.raises(ValueError, match="at least two groups"):
        fit_normalised_fusion(on(vectors, fit_neighbours), vectors, torch.zeros(40))


def pairwise_distances(first: Tensor, second: Tensor) -> np.ndarray:
    distances: np.ndarray = np.linalg.norm(
        first.double().numpy()[:, None] - second.double().numpy(), axis=2
    )
    return distances


def test_domain_density_neighbours_are_normalised_by_the_sum_of_distances_in_a_domain() -> None:
    bank, queries = normal(80), normal(20, seed=1)
    expected = np.full(20, np.inf)
    for domain, count in ((~TARGET, 5), (TARGET, 3)):
        items = bank[domain]
        between = np.sort(pairwise_distances(items, items), axis=1)[:, 1 : count + 1].sum(1)
        between = np.maximum(between, np.quantile(between, 0.05))
        expected = np.minimum(expected, (pairwise_distances(queries, items) / between).min(1))
    backend = fit_domain_density_neighbours(bank, TARGET, source_count=5, target_count=3)
    np.testing.assert_allclose(backend(queries), expected, rtol=1e-4)


def test_the_sum_over_a_small_domain_is_extrapolated() -> None:
    bank, queries = normal(80), normal(20, seed=1)
    few = fit_domain_density_neighbours(bank, TARGET, source_count=4, target_count=9)
    assert isinstance(few, DomainDensityNeighbours)
    seven = fit_domain_density_neighbours(bank, TARGET, source_count=4, target_count=7)
    assert isinstance(seven, DomainDensityNeighbours)
    torch.testing.assert_close(9 * few.target_scale * few.target(queries), few.target(queries))
    torch.testing.assert_close(few.target(queries), seven.target(queries))  # 8 items: 7 neighbours


@pytest.mark.parametrize("target_items", [0, 1, 80])
def test_without_two_items_in_each_domain_there_is_one_bank(target_items: int) -> None:
    bank, queries = normal(80), normal(20, seed=1)
    backend = fit_domain_density_neighbours(bank, torch.arange(80) < target_items, source_count=5)
    torch.testing.assert_close(backend(queries), fit_density_neighbours(bank, count=5)(queries))


@pytest.mark.parametrize("count", [1, 4])
def test_the_correction_for_density_minimises_the_variance_of_the_log_scores(count: int) -> None:
    bank, queries = normal(80), normal(20, seed=1)
    between = pairwise_distances(bank, bank)
    np.fill_diagonal(between, np.inf)
    radius = np.sort(between, axis=1)[:, :count].mean(1)
    floor = np.quantile(radius, 0.05)
    log_radius = np.log(np.maximum(radius, floor))
    log_nearest = np.log(between.min(1))
    log_radius_there = log_radius[between.argmin(1)]
    shares = np.linspace(-1.0, 2.0, 3001)
    variances = [np.var(log_nearest - share * log_radius_there) for share in shares]
    share = shares[int(np.argmin(variances))]
    expected = (np.log(pairwise_distances(queries, bank)) - share * log_radius).min(1)
    backend = fit_variance_minimised_neighbours(bank, count=count)
    np.testing.assert_allclose(backend(queries), expected, atol=2e-3)


def test_a_bank_of_constant_density_is_not_corrected() -> None:
    corners = torch.eye(6)
    backend = fit_variance_minimised_neighbours(corners)
    assert float(backend.offset.abs().max()) == 0.0
    torch.testing.assert_close(backend(2.0 * corners), torch.zeros(6))  # log 1
