"""Subtraction of the far channel's vectors, compared with independent arithmetic."""

import numpy as np
import pytest
import torch
from torch import Tensor

from asd_monitor.backends.far_channel import fit_far_channel
from asd_monitor.model_file import script


def near_and_far(items: int, noise_share: float = 0.6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    machine = torch.tensor([3.0, 1.0, -2.0, 0.5])
    noise = 1.0 + torch.randn(items, 4, generator=generator)
    near = machine + noise_share * noise + 0.1 * torch.randn(items, 4, generator=generator)
    return torch.cat([near, noise], dim=1)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_far_vector_is_subtracted(share: float) -> None:
    vectors = near_and_far(20)
    difference = vectors[:, :4].numpy() - share * vectors[:, 4:].numpy()
    expected = difference / np.linalg.norm(difference, axis=1, keepdims=True)
    subtraction = script(fit_far_channel(vectors, share))
    np.testing.assert_allclose(subtraction(vectors), expected, rtol=1e-5)


def test_fitted_shares_are_slopes_of_regression() -> None:
    vectors = near_and_far(200)
    near, far = vectors[:, :4].double().numpy(), vectors[:, 4:].double().numpy()
    expected = [np.polyfit(far[:, i], near[:, i], 1)[0] for i in range(4)]
    np.testing.assert_allclose(fit_far_channel(vectors).share, expected, rtol=1e-5)


@pytest.mark.parametrize(("noise_share", "limit"), [(-0.5, 0.0), (1.8, 1.0)])
def test_fitted_shares_are_limited(noise_share: float, limit: float) -> None:
    share = fit_far_channel(near_and_far(200, noise_share)).share
    torch.testing.assert_close(share, torch.full((4,), limit))


def test_a_constant_far_channel_is_not_subtracted() -> None:
    vectors = near_and_far(20)
    vectors[:, 4:] = 2.0
    assert fit_far_channel(vectors).share.tolist() == [0.0] * 4


def test_the_subtraction_makes_normal_vectors_more_alike() -> None:
    vectors = near_and_far(200)
    normal = torch.nn.functional.normalize(vectors[:, :4], dim=1)
    difference = fit_far_channel(vectors)(vectors)
    assert float(difference.var(0).sum()) < 0.2 * float(normal.var(0).sum())
