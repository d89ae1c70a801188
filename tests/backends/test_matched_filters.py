"""Matched filters find a faint bump that the distance between whole vectors does not show."""

import numpy as np
import pytest
import torch
from torch import Tensor

from asd_monitor.backends.density_neighbours import fit_density_neighbours
from asd_monitor.backends.matched_filters import (
    MatchedFilters,
    _deviations,
    fit_matched_filters,
    make_bumps,
    sum_rectangles,
)
from asd_monitor.model_file import script

DIMS, ITEMS, CLIP = 48, 240, 8


def normal(seed: int, items: int = ITEMS) -> Tensor:
    """Return vectors in clips of ``CLIP``; neighbouring bands are correlated."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((items, DIMS + 8))
    smooth = np.stack([np.convolve(row, np.ones(9) / 3.0, "valid") for row in noise])
    clips = np.repeat(rng.standard_normal((items // CLIP, 1)), CLIP, axis=0)
    return torch.from_numpy(0.3 * smooth + 0.3 * clips).float()


def with_bump(vectors: Tensor, height: float = 0.5) -> Tensor:
    faulty = vectors.clone()
    faulty[:, 20:24] += height
    return faulty


def fit(vectors: Tensor, rows: int = 1) -> tuple[MatchedFilters, Tensor]:
    clip = torch.arange(len(vectors)) // CLIP
    bank = torch.arange(len(vectors))
    return fit_matched_filters(vectors, bank, clip[:, None] == clip, clip, rows)


def auc(normal_scores: Tensor, faulty_scores: Tensor) -> float:
    return float((faulty_scores[:, None] > normal_scores).float().mean())


@pytest.fixture(scope="module")
def fitted() -> tuple[MatchedFilters, Tensor]:
    return fit(normal(0))


def test_a_faint_bump_is_found_better_than_by_the_distance_of_whole_vectors(
    fitted: tuple[MatchedFilters, Tensor],
) -> None:
    filters, _ = fitted
    unseen = normal(1)
    found = auc(filters(unseen), filters(with_bump(unseen)))
    clip = torch.arange(ITEMS) // CLIP
    distance = fit_density_neighbours(normal(0), clip)
    assert found > 0.9
    assert found > auc(distance(unseen), distance(with_bump(unseen))) + 0.1


def test_a_bump_below_normal_counts_like_one_above(fitted: tuple[MatchedFilters, Tensor]) -> None:
    filters, _ = fitted
    unseen = normal(1)
    assert auc(filters(unseen), filters(with_bump(unseen, -0.5))) > 0.9


def test_held_out_scores_are_those_of_unseen_vectors(
    fitted: tuple[MatchedFilters, Tensor],
) -> None:
    filters, held_out = fitted
    unseen = filters(normal(2, 800))
    assert float((held_out.mean() - unseen.mean()).abs()) < 0.3 * float(unseen.std())
    assert 0.7 < float(held_out.std() / unseen.std()) < 1.4


@pytest.mark.parametrize("rows", [1, 8])
def test_rectangles_are_summed_within_the_vector_as_an_image(rows: int) -> None:
    bumps = make_bumps(DIMS, rows)
    vectors = normal(3, 8).double()
    got = sum_rectangles(vectors, bumps.rows, bumps.columns, bumps.corners)
    stride = bumps.columns + 1
    images = vectors.reshape(8, rows, bumps.columns)
    for index, (end, _, _, start) in enumerate(bumps.corners.t().tolist()):
        top, left = divmod(start, stride)
        bottom, right = divmod(end, stride)
        expected = images[:, top:bottom, left:right].sum((1, 2))
        torch.testing.assert_close(got[:, index], expected)


def test_the_deviations_are_those_of_all_pairs_of_rectangles() -> None:
    bumps = make_bumps(dims=32, rows=2)
    root = torch.randn(32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    precision, std = root @ root.t(), torch.full((32,), 2.0, dtype=torch.float64)
    indicators = sum_rectangles(torch.eye(32, dtype=torch.float64), 2, 16, bumps.corners)
    variances = (indicators.t() @ (precision / 4) @ indicators).diagonal()
    torch.testing.assert_close(_deviations(precision, std, bumps), variances.sqrt())


def test_every_place_of_the_vector_is_within_a_rectangle_of_every_size() -> None:
    bumps = make_bumps(DIMS, 1)
    responses = sum_rectangles(torch.eye(DIMS), 1, DIMS, bumps.corners)
    widths = responses.sum(0)
    for width in (1, 2, 4, 8, 16):
        assert responses[:, widths == width].sum(1).min() >= 1.0


@pytest.mark.parametrize("rows", [1, 8])
def test_the_scripted_filters_give_the_same_scores_in_batches_of_any_size(rows: int) -> None:
    filters, _ = fit(normal(0), rows)
    unseen = with_bump(normal(4, 16))
    scripted = script(filters)
    torch.testing.assert_close(scripted(unseen), filters(unseen))
    torch.testing.assert_close(scripted(unseen[:1]), filters(unseen)[:1], rtol=1e-3, atol=1e-3)


def test_constant_and_distant_vectors_give_finite_scores() -> None:
    filters, held_out = fit(torch.zeros(ITEMS, DIMS))
    assert torch.isfinite(held_out).all()
    assert torch.isfinite(filters(torch.full((2, DIMS), 1e4))).all()


def test_a_bank_of_another_shape_is_refused(fitted: tuple[MatchedFilters, Tensor]) -> None:
    with pytest.raises(ValueError, match="expected a bank of shape"):
        fitted[0].share_bank(torch.zeros(3, DIMS))
